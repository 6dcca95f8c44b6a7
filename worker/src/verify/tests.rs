use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn limits(crc: Option<CrcAlgorithm>, etag_is_md5: bool) -> Limits {
    Limits {
        crc,
        etag_is_md5,
        etag_is_md5_of_parts: etag_is_md5,
        single_put: 5 << 30,
        part_min: 5 << 20,
        part_max: 5 << 30,
        parts: 10_000,
        needs_length: false,
        name: |_| Ok(()),
    }
}

fn plan(limits: &Limits, source: Checksums, reach: Reach) -> Plan {
    Plan::new(&TransferConf::default(), limits, &source, reach)
}

fn hashes(plan: &Plan, bytes: &[u8]) -> Hashes {
    let mut hasher = plan.hasher();
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn md5_is_taken_only_where_nothing_better_is_kept() {
    let oss = limits(Some(CrcAlgorithm::Crc64Xz), true);
    let plain = limits(None, true);
    let nothing = Checksums::default();
    let md5 = Checksums { md5: Some([7; 16]), ..nothing };
    let both = Checksums { crc32c: Some(1), ..md5 };
    assert!(!plan(&oss, nothing, Reach::Whole).md5, "the destination keeps a CRC");
    assert!(plan(&plain, nothing, Reach::Whole).md5, "the destination keeps only an MD5");
    assert!(!plan(&plain, nothing, Reach::Part).md5, "a part's is taken when it is written");
    let local = limits(Some(CrcAlgorithm::Crc64Xz), false);
    assert!(plan(&local, md5, Reach::Whole).md5, "the source states only an MD5, and the destination none");
    assert!(!plan(&oss, md5, Reach::Whole).md5, "both ends state it");
    assert!(!plan(&plain, md5, Reach::Whole).md5, "both ends state it, and nothing else");
    assert!(!plan(&oss, md5, Reach::Part).md5, "which cannot be had from parts");
    assert!(!plan(&oss, both, Reach::Whole).md5, "the source states a CRC");
    assert_eq!(plan(&oss, both, Reach::Part).crcs, [CrcAlgorithm::Crc64Xz, CrcAlgorithm::Crc32Iscsi]);
    let size = TransferConf { verify: Verify::Size, ..TransferConf::default() };
    assert!(!Plan::new(&size, &plain, &md5, Reach::Whole).md5);
    let record = TransferConf { verify: Verify::Size, record_md5: true, ..TransferConf::default() };
    assert!(Plan::new(&record, &plain, &nothing, Reach::Whole).md5);
    let record = TransferConf { verify: Verify::Checksum, ..record };
    assert!(Plan::new(&record, &oss, &md5, Reach::Whole).md5, "it is to be written down");
}

#[test]
fn the_known_answers() {
    let all = Plan {
        crcs: vec![CrcAlgorithm::Crc64Xz, CrcAlgorithm::Crc64Nvme, CrcAlgorithm::Crc32Iscsi],
        md5: true,
    };
    let taken = hashes(&all, b"123456789");
    let text = |crc| crc_text(crc, taken.crc(crc).unwrap());
    assert_eq!(text(CrcAlgorithm::Crc64Xz), "11051210869376104954");
    assert_eq!(text(CrcAlgorithm::Crc64Nvme), "rosUhgp5mIg=");
    assert_eq!(text(CrcAlgorithm::Crc32Iscsi), "4waSgw==");
    assert_eq!(hex::encode(taken.md5.unwrap()), "25f9e794323b453885f5181f1b624d0b");
}

#[test]
fn a_comparison_names_the_check_and_both_values() {
    let payload = Payload::from("123456789");
    let taken = hashes(&Plan::of(CrcAlgorithm::Crc64Xz), b"123456789");
    let ours = Ours { hashes: &taken, payload: Some(&payload) };
    let right =
        Checksums { crc64ecma: Some(11051210869376104954), md5: Some([0; 16]), ..Checksums::default() };
    assert_eq!(ours.compare(&right, None), Verdict::Same(Proof::Crc64ecma, "11051210869376104954".into()));
    let wrong = Checksums { crc64ecma: Some(1), ..right };
    let Verdict::Differs(difference) = ours.compare(&wrong, None) else { panic!("one differs from one") };
    assert_eq!((difference.ours.as_str(), difference.theirs.as_str()), ("11051210869376104954", "1"));
    assert!(!difference.by_etag);
    let unplanned = Checksums { crc32c: Some(0xe306_9283), ..Checksums::default() };
    assert_eq!(ours.compare(&unplanned, None), Verdict::Same(Proof::Crc32c, "4waSgw==".into()));
    let gone = Ours { payload: None, ..ours };
    assert_eq!(gone.compare(&unplanned, None), Verdict::Unknown);
    assert_eq!(ours.compare(&Checksums::default(), None), Verdict::Unknown);
}

#[test]
fn an_md5_is_named_by_where_it_stands() {
    let payload = Payload::from("123456789");
    let taken = Hashes::default();
    let ours = Ours { hashes: &taken, payload: Some(&payload) };
    let md5 = "25f9e794323b453885f5181f1b624d0b";
    let stated = Checksums { md5: Some(payload.md5()), ..Checksums::default() };
    assert_eq!(ours.compare(&stated, Some(&md5.to_uppercase())), Verdict::Same(Proof::EtagMd5, md5.into()));
    assert_eq!(ours.compare(&stated, Some("0x8D")), Verdict::Same(Proof::ContentMd5, md5.into()));
}

proptest! {
    #[test]
    fn parts_combine_to_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..5000), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let plan = Plan { crcs: vec![CrcAlgorithm::Crc64Xz, CrcAlgorithm::Crc64Nvme, CrcAlgorithm::Crc32Iscsi], md5: false };
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let parts: Vec<Hashes> = at.windows(2).map(|ends| hashes(&plan, &bytes[ends[0]..ends[1]])).collect();
        let whole = join(&parts);
        prop_assert_eq!(whole, hashes(&plan, &bytes));
        let payload = Payload::new(vec![Bytes::from(bytes.clone())]);
        prop_assert_eq!(payload.crc(CrcAlgorithm::Crc64Xz), hashes(&plan, &bytes).crcs[0].1);
    }
}
