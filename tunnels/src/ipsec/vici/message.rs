//! The body of a VICI packet: keys with values, lists of values, and sections of the same.

use zeroize::Zeroize;

/// Sections deeper than this are no answer of strongSwan's, which has five.
const DEEPEST: usize = 16;

const SECTION_START: u8 = 1;
const SECTION_END: u8 = 2;
const KEY_VALUE: u8 = 3;
const LIST_START: u8 = 4;
const LIST_ITEM: u8 = 5;
const LIST_END: u8 = 6;

/// One value of a [`Message`].
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, or any octets; at most 65535.
    Text(Vec<u8>),
    /// Texts.
    List(Vec<Vec<u8>>),
    /// A message within the message.
    Section(Message),
}

/// Keys and their values, in the order in which they stand. A key may stand more than once. Wiped from
/// memory when dropped, and not printed: keys and passwords travel in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<(String, Value)>);

/// Why octets are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// It ends within an element.
    #[error("it ends in the middle")]
    Cut,
    /// An element that does not exist, or not here.
    #[error("element {0} does not belong here")]
    Element(u8),
    /// Sections within sections within sections.
    #[error("its sections are nested deeper than {DEEPEST}")]
    Deep,
    /// A name is not text.
    #[error("a name in it is not text")]
    Name,
}

impl Message {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more key. Names longer than 255 octets and values longer than 65535 are cut: ours are not.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.push(key, Value::Text(value.as_ref().to_vec()));
        self
    }

    /// With one more key if there is a value.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// With one more list.
    #[must_use]
    pub fn with_list(mut self, key: &str, items: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let items = items.into_iter().map(|item| item.as_ref().to_vec());
        self.push(key, Value::List(items.collect()));
        self
    }

    /// With one more section.
    #[must_use]
    pub fn with_section(mut self, key: &str, section: Self) -> Self {
        self.push(key, Value::Section(section));
        self
    }

    fn push(&mut self, key: &str, value: Value) {
        self.0.push((key.to_owned(), value));
    }

    /// Every key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The text under a key, if it is text of UTF-8.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(name, value)| match value {
            Value::Text(text) if name == key => std::str::from_utf8(text).ok(),
            Value::Text(_) | Value::List(_) | Value::Section(_) => None,
        })
    }

    /// A number under a key.
    #[must_use]
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// The texts of a list.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&str> {
        let found = self.iter().find_map(|(name, value)| match value {
            Value::List(items) if name == key => Some(items),
            Value::Text(_) | Value::List(_) | Value::Section(_) => None,
        });
        let items = found.into_iter().flatten();
        items
            .filter_map(|item| std::str::from_utf8(item).ok())
            .collect()
    }

    /// Every section with its name.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name, section)),
            Value::Text(_) | Value::List(_) => None,
        })
    }

    /// The section of a name.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Self> {
        self.sections()
            .find(|(name, _)| *name == key)
            .map(|(_, section)| section)
    }

    /// At least as many octets as [`Message::encode`] appends: with room for them a vector is not copied as it
    /// grows, and leaves no part of a secret behind.
    #[must_use]
    pub fn room(&self) -> usize {
        let values = self.0.iter().map(|(key, value)| {
            let value = match value {
                Value::Text(text) => text.len(),
                Value::List(items) => items.iter().map(|item| item.len() + 3).sum(),
                Value::Section(section) => section.room(),
            };
            key.len() + value + 4
        });
        values.sum()
    }

    /// Appends its octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            match value {
                Value::Text(text) => {
                    out.push(KEY_VALUE);
                    put_name(out, key);
                    put_value(out, text);
                }
                Value::List(items) => {
                    out.push(LIST_START);
                    put_name(out, key);
                    for item in items {
                        out.push(LIST_ITEM);
                        put_value(out, item);
                    }
                    out.push(LIST_END);
                }
                Value::Section(section) => {
                    out.push(SECTION_START);
                    put_name(out, key);
                    section.encode(out);
                    out.push(SECTION_END);
                }
            }
        }
    }

    /// Reads a whole message. It holds little more than the octets that it is read from.
    ///
    /// # Errors
    /// The octets are not a message.
    pub fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(octets);
        let message = reader.message(0)?;
        match reader.0.first() {
            None => Ok(message),
            Some(element) => Err(Malformed::Element(*element)),
        }
    }
}

/// At most 255 octets, cut between characters.
fn put_name(out: &mut Vec<u8>, name: &str) {
    let mut length = name.len().min(usize::from(u8::MAX));
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    out.push(u8::try_from(length).unwrap_or(u8::MAX));
    out.extend_from_slice(&name.as_bytes()[..length]);
}

fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&value[..usize::from(length)]);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Up to the end, or to the end of the section, which is left for the caller.
    fn message(&mut self, depth: usize) -> Result<Message, Malformed> {
        if depth > DEEPEST {
            return Err(Malformed::Deep);
        }
        let mut message = Message::new();
        while let Some((&element, rest)) = self.0.split_first() {
            if element == SECTION_END {
                break;
            }
            self.0 = rest;
            let value = |reader: &mut Self| -> Result<Value, Malformed> {
                Ok(match element {
                    KEY_VALUE => Value::Text(reader.value()?.to_vec()),
                    LIST_START => Value::List(reader.items()?),
                    _ => {
                        let section = reader.message(depth + 1)?;
                        reader.expect(SECTION_END)?;
                        Value::Section(section)
                    }
                })
            };
            if !matches!(element, KEY_VALUE | LIST_START | SECTION_START) {
                return Err(Malformed::Element(element));
            }
            let name = self.name()?;
            let value = value(self)?;
            message.push(name, value);
        }
        Ok(message)
    }

    fn items(&mut self) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut items = Vec::new();
        loop {
            match self.octet()? {
                LIST_ITEM => items.push(self.value()?.to_vec()),
                LIST_END => return Ok(items),
                other => return Err(Malformed::Element(other)),
            }
        }
    }

    fn expect(&mut self, element: u8) -> Result<(), Malformed> {
        match self.octet()? {
            found if found == element => Ok(()),
            found => Err(Malformed::Element(found)),
        }
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        let (octet, rest) = self.0.split_first().ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok(*octet)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn name(&mut self) -> Result<&'a str, Malformed> {
        let length = self.octet()?;
        std::str::from_utf8(self.take(length.into())?).map_err(|_| Malformed::Name)
    }

    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let length = [self.octet()?, self.octet()?];
        self.take(u16::from_be_bytes(length).into())
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.0.iter().map(|(key, _)| key);
        f.debug_set().entries(keys).finish()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            match value {
                Value::Text(text) => text.zeroize(),
                Value::List(items) => items.iter_mut().for_each(Zeroize::zeroize),
                // Wipes itself.
                Value::Section(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(message: &Message) -> Vec<u8> {
        let mut octets = Vec::new();
        message.encode(&mut octets);
        octets
    }

    #[test]
    fn the_example_of_the_protocol_s_description_is_encoded_as_it_says() {
        let inner = Message::new().with("key2", "value2");
        let section = Message::new().with_section("sub-section", inner);
        let message = Message::new()
            .with("key1", "value1")
            .with_section("section1", section)
            .with_list("list1", ["item1", "item2"]);
        let mut expected = Vec::new();
        expected.extend(b"\x03\x04key1\x00\x06value1");
        expected.extend(b"\x01\x08section1\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02\x02");
        expected.extend(b"\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06");
        assert_eq!(encoded(&message), expected);
        assert!(message.room() >= expected.len());
        assert_eq!(Message::decode(&expected), Ok(message));
    }

    #[test]
    fn a_message_cut_anywhere_within_an_element_is_malformed() {
        let section = Message::new().with("a", "b").with_list("l", ["1", "2"]);
        let octets = encoded(&Message::new().with_section("s", section));
        for length in 1..octets.len() {
            assert!(Message::decode(&octets[..length]).is_err(), "{length}");
        }
        assert!(Message::decode(&octets).is_ok());
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = b"\x01\x01s".repeat(100_000);
        assert_eq!(Message::decode(&deep), Err(Malformed::Deep));
    }

    #[test]
    fn an_end_without_a_beginning_is_malformed() {
        assert_eq!(Message::decode(&[SECTION_END]), Err(Malformed::Element(2)));
        assert_eq!(Message::decode(&[LIST_END]), Err(Malformed::Element(6)));
        assert_eq!(Message::decode(&[7, 0]), Err(Malformed::Element(7)));
    }

    #[test]
    fn values_are_found_by_their_names_and_kinds() {
        let octets = encoded(
            &Message::new()
                .with("n", "17")
                .with_list("l", ["x"])
                .with_section("n", Message::new()),
        );
        let message = Message::decode(&octets).expect("a message");
        assert_eq!(message.number::<u32>("n"), Some(17));
        assert_eq!(message.number::<u32>("l"), None);
        assert_eq!(message.list("l"), ["x"]);
        assert_eq!(message.list("n"), [""; 0]);
        assert!(message.section("n").is_some() && message.section("l").is_none());
    }

    #[test]
    fn debug_output_has_names_and_no_values() {
        let message = Message::new().with("data", "hunter2");
        assert_eq!(format!("{message:?}"), "{\"data\"}");
    }
}
