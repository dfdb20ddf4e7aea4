//! Probes of a given size, and which answer belongs to which.

use std::collections::VecDeque;

use super::{Config, Transmit, Via};
use crate::icmp::Echo;
use crate::probe::AddressFamily;
use crate::stamp::{self, NtpTime, Timestamps};

/// Answers that are still recognised: those of the latest attempts.
const REMEMBERED: usize = 16;

/// A probe that may still be answered.
#[derive(Clone, Copy, Debug)]
struct Sent {
    via: Via,
    sequence: u32,
    /// The timestamp of STAMP, or the nonce of an echo.
    proof: u64,
    size: u32,
}

/// Makes probes, and recognises their answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Packets {
    sequence: u32,
    timestamps: Timestamps,
    sent: VecDeque<Sent>,
}

impl Packets {
    /// A probe that is an IP packet of `size` octets, or as small as a probe can be.
    ///
    /// - `wall`: the time of day, for STAMP
    /// - `random`: what nobody can guess
    pub(super) fn probe(
        &mut self,
        config: &Config,
        via: Via,
        size: u32,
        wall: NtpTime,
        random: u64,
    ) -> Transmit {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let (proof, bytes) = match via {
            Via::Stamp => {
                let timestamp = self.timestamps.next(wall, random);
                let request = stamp::Request {
                    sequence,
                    timestamp,
                    session: config.identifier,
                };
                let length = payload(size, config.family, UDP);
                (
                    timestamp.0,
                    request.encode_padded(&config.mode, length, random),
                )
            }
            Via::Icmp => {
                let echo = Echo {
                    sequence: sequence as u16,
                    nonce: random,
                };
                let length = payload(size, config.family, 0);
                (random, echo.encode_padded(config.family, length))
            }
        };
        if self.sent.len() >= REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            via,
            sequence,
            proof,
            size,
        });
        Transmit { via, bytes }
    }

    /// The size of the probe that this answers, once.
    pub(super) fn answered(&mut self, config: &Config, via: Via, bytes: &[u8]) -> Option<u32> {
        let (sequence, proof) = match via {
            Via::Stamp => {
                let reply = stamp::Reply::decode(bytes, &config.mode).ok()?;
                // A reflector that does not know RFC 8972 returns no session.
                if ![0, config.identifier].contains(&reply.session) {
                    return None;
                }
                (reply.sender_sequence, reply.sender_timestamp.0)
            }
            Via::Icmp => {
                let reply = Echo::decode_reply(bytes, config.family)?;
                (u32::from(reply.sequence), reply.nonce)
            }
        };
        let asked = |sent: &Sent| {
            let same = match via {
                Via::Stamp => sent.sequence == sequence,
                Via::Icmp => u32::from(sent.sequence as u16) == sequence,
            };
            sent.via == via && same && sent.proof == proof
        };
        let at = self.sent.iter().position(asked)?;
        Some(self.sent.remove(at)?.size)
    }

    /// What was asked before counts for nothing any more.
    pub(super) fn forget(&mut self) {
        self.sent.clear();
    }
}

/// Header of UDP, octets.
const UDP: u32 = 8;

/// What is left of an IP packet behind its header and `more`.
fn payload(size: u32, family: AddressFamily, more: u32) -> usize {
    let header = match family {
        AddressFamily::V4 => 20,
        AddressFamily::V6 => 40,
    };
    let length = size.saturating_sub(header + more) as usize;
    length.max(stamp::LEN)
}
