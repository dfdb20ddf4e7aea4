//! Messages made from their parts and broken in a few of them.

/// splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % limit.max(1) as u64) as usize
    }

    fn octet(&mut self) -> u8 {
        self.below(256) as u8
    }

    fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }
}

/// The mutant of this number, always the same.
pub(crate) fn mutant(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let random = &mut random;
    let mut bytes = message(random);
    if random.one_in(16) {
        bytes.extend(message(random));
    }
    if random.one_in(2) {
        flip(&mut bytes, random);
    }
    bytes
}

fn message(random: &mut Random) -> Vec<u8> {
    let (kind, body) = match random.below(16) {
        0 | 1 => (1, open(random)),
        2 => (3, notification(random)),
        3 => (4, Vec::new()),
        4 => (5, refresh(random)),
        _ => (2, update(random)),
    };
    let mut length = 19 + body.len();
    let mut kind = kind;
    if random.one_in(32) {
        length = (length + random.below(9)).saturating_sub(4);
    }
    if random.one_in(64) {
        kind = random.octet();
    }
    let mut message = vec![255; 16];
    message.extend((length as u16).to_be_bytes());
    message.push(kind);
    message.extend(body);
    message
}

/// One to three bits; sometimes an end, sometimes an octet more.
fn flip(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        // Mostly past the header, or hardly any would get beyond it.
        let from = if random.one_in(16) {
            0
        } else {
            19.min(bytes.len())
        };
        let at = from + random.below(bytes.len() - from);
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random.octet()),
            _ => {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet ^= 1 << random.below(8);
                }
            }
        }
    }
}

fn open(random: &mut Random) -> Vec<u8> {
    let mut capabilities = Vec::new();
    for _ in 0..random.below(6) {
        let code = [1, 2, 5, 6, 9, 64, 65, 69, 70, 71, 73, 200][random.below(12)];
        let value = match code {
            1 => vec![0, 1 + random.below(3) as u8, 0, 1],
            65 => vec![0, 0, 0xfd, 0xea],
            _ => (0..random.below(12)).map(|_| random.octet()).collect(),
        };
        capabilities.push(code);
        capabilities.push((value.len() + usize::from(random.one_in(24))) as u8);
        capabilities.extend(value);
    }
    let mut body = vec![4, 0xfd, 0xea];
    body.extend([0, [0, 3, 30, 90, 1][random.below(5)], 10, 0, 0, 2]);
    if random.one_in(4) {
        body.extend([255, 255]);
        body.extend((capabilities.len() as u16 + 3).to_be_bytes());
        body.push(2);
        body.extend((capabilities.len() as u16).to_be_bytes());
    } else {
        let length = capabilities.len() as u8;
        body.extend([
            length + 2,
            if random.one_in(24) { random.octet() } else { 2 },
            length,
        ]);
    }
    body.extend(capabilities);
    body
}

fn notification(random: &mut Random) -> Vec<u8> {
    let mut body = vec![random.below(9) as u8, random.below(12) as u8];
    body.extend((0..random.below(24)).map(|_| random.octet()));
    body
}

fn refresh(random: &mut Random) -> Vec<u8> {
    vec![
        0,
        random.below(4) as u8,
        random.below(5) as u8,
        random.below(3) as u8,
    ]
}

struct Attribute {
    flags: u8,
    code: u8,
    value: Vec<u8>,
    /// The length that it claims.
    length: usize,
}

fn update(random: &mut Random) -> Vec<u8> {
    let withdrawn = if random.one_in(4) {
        prefixes(random, 4, 4)
    } else {
        Vec::new()
    };
    let mut attributes: Vec<Attribute> = Vec::new();
    if !random.one_in(16) {
        for code in [1, 2, 3] {
            attributes.push(attribute(code, random));
        }
    }
    for _ in 0..random.below(5) {
        let code = CODES[random.below(CODES.len())];
        attributes.push(attribute(code, random));
    }
    if !random.one_in(4) {
        damage(&mut attributes, random);
    }
    let mut block = Vec::new();
    for attribute in &attributes {
        write(attribute, random, &mut block);
    }
    let nlri = if random.one_in(4) {
        Vec::new()
    } else {
        prefixes(random, 5, 4)
    };
    let mut lengths = [withdrawn.len(), block.len()];
    if random.one_in(32) {
        lengths[random.below(2)] = random.below(80);
    }
    let mut body = (lengths[0] as u16).to_be_bytes().to_vec();
    body.extend(withdrawn);
    body.extend((lengths[1] as u16).to_be_bytes());
    body.extend(block);
    body.extend(nlri);
    body
}

/// Those that we know, and three that nobody does.
const CODES: [u8; 20] = [
    4, 5, 6, 7, 8, 9, 10, 14, 14, 14, 15, 15, 16, 17, 18, 32, 35, 99, 128, 254,
];

fn attribute(code: u8, random: &mut Random) -> Attribute {
    let flags = match code {
        1 | 2 | 3 | 5 | 6 => 0x40,
        4 | 9 | 10 | 14 | 15 => 0x80,
        _ => 0xc0,
    };
    let value = value(code, random);
    Attribute {
        flags,
        code,
        length: value.len(),
        value,
    }
}

fn value(code: u8, random: &mut Random) -> Vec<u8> {
    match code {
        1 => vec![random.below(3) as u8],
        2 | 17 => as_path(random),
        3 => vec![192, 0, 2, random.octet()],
        4 | 5 | 9 | 35 => vec![0, 0, 0, random.octet()],
        6 => Vec::new(),
        7 | 18 => vec![0, 0, 0xfd, 0xea, 10, 0, 0, 1],
        8 | 10 => octets(4, random),
        16 => octets(8, random),
        32 => octets(12, random),
        14 => {
            let mut value = match random.below(4) {
                0 => vec![0, 1, 1, 4, 192, 0, 2, 1, 0],
                1 => vec![0, 1, 1, 16],
                _ => vec![0, 2, 1, 16],
            };
            if value.len() == 4 {
                value.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
            }
            value.extend(prefixes(random, 4, 16));
            value
        }
        15 => {
            let mut value = vec![0, 1 + random.below(2) as u8, 1];
            value.extend(prefixes(random, 4, 16));
            value
        }
        _ => (0..random.below(20)).map(|_| random.octet()).collect(),
    }
}

fn as_path(random: &mut Random) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..=random.below(3) {
        let count = 1 + random.below(4);
        value.extend([2 - u8::from(random.one_in(8)), count as u8]);
        for _ in 0..count {
            value.extend([0, 0, 0xfd, 0xea + random.below(2) as u8]);
        }
    }
    value
}

fn octets(unit: usize, random: &mut Random) -> Vec<u8> {
    let count = unit * (1 + random.below(5));
    (0..count).map(|_| random.octet()).collect()
}

/// Up to `most` of them, of a family with addresses of so many octets.
fn prefixes(random: &mut Random, most: usize, width: usize) -> Vec<u8> {
    let mut block = Vec::new();
    for _ in 0..random.below(most + 1) {
        let length = random.below(8 * width + 1);
        block.push(if random.one_in(64) {
            random.octet()
        } else {
            length as u8
        });
        block.extend((0..length.div_ceil(8)).map(|_| random.octet()));
    }
    block
}

fn damage(attributes: &mut Vec<Attribute>, random: &mut Random) {
    for _ in 0..=random.below(2) {
        if attributes.is_empty() {
            return;
        }
        let at = random.below(attributes.len());
        let other = random.below(attributes.len());
        match random.below(9) {
            0 => attributes[at].flags ^= 0x10 << random.below(4),
            1 => attributes[at].length = random.below(40),
            2 => attributes[at].code = random.octet(),
            3 => attributes.swap(at, other),
            4 => drop(attributes.remove(at)),
            5 => {
                let Attribute {
                    flags,
                    code,
                    value,
                    length,
                } = &attributes[at];
                let again = Attribute {
                    flags: *flags,
                    code: *code,
                    value: value.clone(),
                    length: *length,
                };
                attributes.insert(other, again);
            }
            6 => {
                let shorter = random.below(attributes[at].value.len());
                attributes[at].value.truncate(shorter);
                attributes[at].length = shorter;
            }
            7 => {
                attributes[at].value.push(random.octet());
                attributes[at].length += 1;
            }
            _ => {
                let index = random.below(attributes[at].value.len());
                if let Some(octet) = attributes[at].value.get_mut(index) {
                    *octet = [0, 1, 127, 128, 255][random.below(5)];
                }
            }
        }
    }
}

fn write(attribute: &Attribute, random: &mut Random, block: &mut Vec<u8>) {
    let is_long = attribute.length > 255 || attribute.flags & 0x10 != 0 || random.one_in(16);
    if is_long {
        block.extend([attribute.flags | 0x10, attribute.code]);
        block.extend((attribute.length as u16).to_be_bytes());
    } else {
        block.extend([attribute.flags, attribute.code, attribute.length as u8]);
    }
    block.extend(&attribute.value);
}
