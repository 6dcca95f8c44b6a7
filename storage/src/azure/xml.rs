//! Documents of the service. Read by events: white space in names counts, also where a name is nothing else.

use quick_xml::Reader;
use quick_xml::events::Event;

/// A page of List Blobs.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) items: Vec<Item>,
    /// Empty at the end.
    pub(super) next: String,
}

/// One `Blob` or `BlobPrefix`.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) name: String,
    /// What lies behind the next slash, folded.
    pub(super) folded: bool,
    pub(super) size: Option<u64>,
    pub(super) modified: String,
    pub(super) etag: String,
    pub(super) tier: String,
    /// A directory of a hierarchical namespace.
    pub(super) directory: bool,
    /// A snapshot, an older version, or a deleted blob: not what is there now.
    pub(super) past: bool,
}

/// A block of Get Block List.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) size: u64,
}

/// An error document; `code` is empty where it is none.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    /// `AuthenticationErrorDetail`, and the like.
    pub(super) detail: String,
}

/// Reads a page of List Blobs.
pub(super) fn listing(body: &[u8]) -> Result<Listing, String> {
    let mut listing = Listing::default();
    let mut item = Item::default();
    walk(body, "EnumerationResults", |path, attribute, text| {
        let Some(text) = text else {
            if let ["EnumerationResults", "Blobs", kind @ ("Blob" | "BlobPrefix")] = path {
                item.folded = *kind == "BlobPrefix";
                let done = std::mem::take(&mut item);
                listing.items.push(done);
            }
            return Ok(());
        };
        match path {
            ["EnumerationResults", "NextMarker"] => listing.next = text,
            ["EnumerationResults", "Blobs", "Blob" | "BlobPrefix", rest @ ..] => {
                return leaf(&mut item, rest, attribute, text);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(listing)
}

fn leaf(item: &mut Item, path: &[&str], encoded: bool, text: String) -> Result<(), String> {
    match path {
        ["Name"] if encoded => {
            let bytes: Vec<u8> = percent_encoding::percent_decode_str(&text).collect();
            item.name = String::from_utf8(bytes).map_err(|_| format!("the name {text:?} is not UTF-8"))?;
        }
        ["Name"] => item.name = text,
        ["Snapshot"] => item.past |= !text.is_empty(),
        ["IsCurrentVersion"] => item.past |= text == "false",
        ["Deleted"] => item.past |= text == "true",
        ["Properties", "Content-Length"] => item.size = text.trim().parse().ok(),
        ["Properties", "Last-Modified"] => item.modified = text,
        ["Properties", "Etag"] => item.etag = text,
        ["Properties", "AccessTier"] => item.tier = text,
        ["Properties", "ResourceType"] => item.directory |= text == "directory",
        ["Metadata", name] if name.eq_ignore_ascii_case("hdi_isfolder") => {
            item.directory |= text.eq_ignore_ascii_case("true");
        }
        _ => {}
    }
    Ok(())
}

/// Reads the blocks of Get Block List, committed and not.
pub(super) fn blocks(body: &[u8]) -> Result<Vec<Block>, String> {
    let (mut blocks, mut block) = (Vec::new(), Block::default());
    walk(body, "BlockList", |path, _, text| {
        match (path, text) {
            (["BlockList", _, "Block"], None) => blocks.push(std::mem::take(&mut block)),
            (["BlockList", _, "Block", "Name"], Some(text)) => block.name = text,
            (["BlockList", _, "Block", "Size"], Some(text)) => {
                block.size = text.trim().parse().map_err(|_| format!("a block of the size {text:?}"))?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(blocks)
}

/// The error document that a body may be.
pub(super) fn refusal(body: &[u8]) -> Refusal {
    let mut said = Refusal::default();
    // What was read before it broke off counts.
    let _ = walk(body, "Error", |path, _, text| {
        match (path, text) {
            (["Error", "Code"], Some(text)) => said.code = text,
            (["Error", "Message"], Some(text)) => said.message = text,
            (["Error", "AuthenticationErrorDetail" | "ExtendedErrorDetail" | "Reason"], Some(text)) => {
                said.detail = text;
            }
            _ => {}
        }
        Ok(())
    });
    said
}

/// The body of Put Block List.
pub(super) fn block_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for name in names {
        // Base64: nothing in it has to be escaped. What is committed already counts as well, so that the same
        // list can be sent twice.
        body.push_str("<Latest>");
        body.push_str(name);
        body.push_str("</Latest>");
    }
    body + "</BlockList>"
}

/// Where in a document.
#[derive(Default)]
struct Place {
    open: Vec<Open>,
    content: String,
}

/// An element that has begun.
struct Open {
    name: String,
    /// It has `Encoded="true"`.
    encoded: bool,
    /// It has others in it.
    holds: bool,
}

impl Place {
    /// The last element ends.
    fn close(
        &mut self,
        end: &mut impl FnMut(&[&str], bool, Option<String>) -> Result<(), String>,
    ) -> Result<(), String> {
        let text = std::mem::take(&mut self.content);
        let path: Vec<&str> = self.open.iter().map(|open| open.name.as_str()).collect();
        let called = match self.open.last() {
            Some(last) => end(&path, last.encoded, (!last.holds).then_some(text)),
            None => Ok(()),
        };
        self.open.pop();
        called
    }
}

/// Goes through a document whose root is `root`: `end` gets each element that ends, with the path to it. Elements
/// that hold others come with `None`, after what they hold; the others with their text, and whether they had
/// `Encoded="true"`.
fn walk(
    body: &[u8],
    root: &str,
    mut end: impl FnMut(&[&str], bool, Option<String>) -> Result<(), String>,
) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}');
    let other = || {
        let begin: String = text.chars().take(4_000).collect();
        format!("the answer is not a {root} (a proxy's page?): {begin}")
    };
    let mut reader = Reader::from_str(text);
    let (mut place, mut seen) = (Place::default(), false);
    loop {
        let event = reader.read_event().map_err(|error| format!("the answer is no XML: {error}"))?;
        match event {
            Event::Start(_) | Event::Empty(_) => {
                let (Event::Start(tag) | Event::Empty(tag)) = &event else { continue };
                let name = tag.local_name().as_ref().to_owned();
                if !seen && name != root {
                    return Err(other());
                }
                seen = true;
                let encoded = tag.attributes().flatten().any(|attribute| {
                    attribute.key.as_ref() == "Encoded" && attribute.value.as_ref() == "true"
                });
                if let Some(parent) = place.open.last_mut() {
                    parent.holds = true;
                }
                place.content.clear();
                place.open.push(Open { name, encoded, holds: false });
                if matches!(event, Event::Empty(_)) {
                    place.close(&mut end)?;
                }
            }
            Event::End(_) => place.close(&mut end)?,
            Event::Text(text) => place.content.push_str(&text),
            Event::CData(text) => place.content.push_str(&text),
            Event::GeneralRef(reference) => {
                let name: &str = &reference;
                let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                match (character, quick_xml::escape::resolve_predefined_entity(name)) {
                    (Some(character), _) => place.content.push(character),
                    (None, Some(text)) => place.content.push_str(text),
                    (None, None) => return Err(format!("the answer has an unknown entity &{name};")),
                }
            }
            Event::Eof if seen && place.open.is_empty() => return Ok(()),
            Event::Eof if seen => return Err("the answer ends in the middle".into()),
            Event::Eof => return Err(other()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_as_the_service_writes_it() {
        let page = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a.blob.core.windows.net/\" ContainerName=\"c\"><MaxResults>5</MaxResults><Blobs>\
            <Blob><Name> a &amp;&#x20;</Name><Properties><Last-Modified>Wed, 09 Sep 2026 09:20:02 GMT</Last-Modified><Etag>0x8CBFF45D8A29A19</Etag><Content-Length>100</Content-Length><AccessTier>Cool</AccessTier><Name>not this</Name></Properties><Metadata><Name>nor this</Name></Metadata></Blob>\
            <BlobPrefix><Name>b/</Name></BlobPrefix>\
            <Blob><Name Encoded=\"true\">c%EF%BF%BE%20</Name><Properties><Content-Length>0</Content-Length></Properties><Metadata><Hdi_isfolder>true</Hdi_isfolder></Metadata><OrMetadata /></Blob>\
            <Blob><Name>  </Name><Snapshot>2026-09-09T09:20:03.0427659Z</Snapshot><Properties /></Blob>\
            <Blob><Name>v</Name><VersionId>1</VersionId><IsCurrentVersion>true</IsCurrentVersion><Properties/></Blob>\
            </Blobs><NextMarker>2!4!x</NextMarker></EnumerationResults>";
        let page = listing(page.as_bytes()).unwrap();
        let names: Vec<&str> = page.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, [" a & ", "b/", "c\u{fffe} ", "  ", "v"]);
        let first = &page.items[0];
        assert_eq!((first.size, &*first.etag, &*first.tier), (Some(100), "0x8CBFF45D8A29A19", "Cool"));
        let flags: Vec<_> = page.items.iter().map(|i| (i.folded, i.directory, i.past)).collect();
        let (f, t) = (false, true);
        assert_eq!(flags, [(f, f, f), (t, f, f), (f, t, f), (f, f, t), (f, f, f)]);
        assert_eq!(page.next, "2!4!x");
    }

    #[test]
    fn another_document_is_no_empty_page() {
        for body in ["<html>login</html>", "", "<EnumerationResults><Blobs>", "<Error><Code>x</Code></Error>"]
        {
            assert!(listing(body.as_bytes()).is_err(), "{body}");
        }
        assert!(
            listing(b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>")
                .unwrap()
                .items
                .is_empty()
        );
    }

    #[test]
    fn block_lists_there_and_back() {
        assert_eq!(
            block_list(["QQ==", "Qg=="].into_iter()),
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><Latest>QQ==</Latest><Latest>Qg==</Latest></BlockList>"
        );
        let body = b"<BlockList><CommittedBlocks><Block><Name>QQ==</Name><Size>4194304</Size></Block></CommittedBlocks><UncommittedBlocks><Block><Name>Qg==</Name><Size>7</Size></Block></UncommittedBlocks></BlockList>";
        let block = |name: &str, size| Block { name: name.into(), size };
        assert_eq!(blocks(body).unwrap(), [block("QQ==", 4_194_304), block("Qg==", 7)]);
    }
}
