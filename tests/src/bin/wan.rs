//! A WAN as a process: joins two TUN devices of a namespace until it is killed, and takes changes as
//! lines on a Unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use tests::lab::netns::Namespace;
use tests::wan::{Wan, answer};

/// The most that one connection may say, octets.
const MAX_INPUT: u64 = 64 << 10;

/// A WAN between the two TUN devices of a namespace: delay, jitter, loss, bandwidth, cut.
#[derive(Parser)]
struct Arguments {
    /// Namespace, a name in /run/netns.
    #[arg(long)]
    netns: String,
    /// Unix socket for lines such as `delay 20ms`, `loss 2% left-to-right`, `cut`, `restore`, `stats`.
    #[arg(long)]
    control: PathBuf,
    /// The same seed loses the same packets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Arguments {
        netns,
        control,
        seed,
    } = &arguments;
    let wan = Wan::new(&Namespace::named(netns), *seed)?;
    if let Err(error) = std::fs::remove_file(control) {
        let absent = error.kind() == std::io::ErrorKind::NotFound;
        anyhow::ensure!(absent, "{}: {error}", control.display());
    }
    let listener = UnixListener::bind(control).with_context(|| control.display().to_string())?;
    for stream in listener.incoming() {
        // A client that misbehaves loses its connection, and the WAN goes on.
        let _ = serve(&wan, &stream?);
    }
    Ok(())
}

/// Answers each line of one client with one line.
fn serve(wan: &Wan, stream: &UnixStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    for line in BufReader::new(stream.take(MAX_INPUT)).lines() {
        let mut writer = stream;
        writeln!(writer, "{}", answer(wan, &line?))?;
    }
    Ok(())
}
