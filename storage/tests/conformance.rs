//! The one suite that every adapter has to pass: which adapters, what each of them can do, which cases.
//!
//! Memory and local always run. The others need a server: s3s-fs (`BRIGADE_S3S_FS`, or
//! `$BRIGADE_TEST_TOOLS/bin/s3s-fs`), and this repository's own strict server of the S3 dialects
//! (`BRIGADE_FAMILY`, or `family` beside the test programs, as `cargo build --workspace --all-targets` leaves
//! it). Without it the cases of an adapter are counted and printed as skipped.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "everything here is a test")]

#[path = "conformance/errors.rs"]
mod errors;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/list.rs"]
mod list;
#[path = "conformance/places.rs"]
mod places;
#[path = "conformance/read.rs"]
mod read;
#[path = "conformance/world.rs"]
mod world;
#[path = "conformance/write.rs"]
mod write;

use std::future::Future;
use std::pin::Pin;

use places::Place;
use world::World;

type Case = fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($module:ident :: $case:ident,)*) => {
        [$((concat!(stringify!($module), "::", stringify!($case)), |world| Box::pin($module::$case(world)))),*]
    };
}

const CASES: [(&str, Case); 28] = cases![
    list::nothing_is_listed_where_nothing_is,
    list::keys_come_in_the_order_of_their_bytes,
    list::a_listing_starts_after_any_key,
    list::only_keys_under_the_prefix_are_listed,
    list::nothing_before_the_bound_is_left_out,
    list::a_folded_listing_names_what_lies_behind_the_next_slash,
    list::an_entry_says_what_the_object_is,
    read::an_object_is_read_whole,
    read::an_empty_object_has_no_bytes,
    read::ranges_are_exactly_what_was_asked_for,
    read::another_version_is_never_read,
    read::what_is_not_there_is_not_found,
    write::content_headers_and_metadata_arrive,
    write::what_cannot_be_carried_is_said,
    write::a_second_write_replaces_the_first,
    write::the_destination_states_the_checksum_of_what_it_holds,
    write::many_chunks_make_one_object,
    write::an_upload_is_invisible_until_it_is_complete,
    write::an_upload_goes_on_from_its_recorded_parts,
    write::a_part_that_is_sent_again_replaces_the_first,
    write::a_wrong_whole_is_never_visible,
    write::an_aborted_upload_is_gone,
    write::uploads_whose_ids_were_lost_go_and_no_others,
    write::an_upload_over_an_object_leaves_it_until_the_end,
    keys::every_key_is_kept_or_refused,
    keys::a_refused_key_disturbs_nothing_else,
    errors::a_missing_bucket_is_named,
    errors::wrong_keys_are_called_so,
];

/// Runs every case in a place of its own and reports all that failed.
async fn run(place: Place) {
    let mut failed = Vec::new();
    for (number, (name, case)) in CASES.into_iter().enumerate() {
        let world = place.world(number);
        if let Err(error) = tokio::spawn(case(world)).await {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(
        failed.is_empty(),
        "{}: {} of {} failed:\n{}",
        place.name(),
        failed.len(),
        CASES.len(),
        failed.join("\n")
    );
}

async fn run_if_there(name: &str, place: Result<Place, String>) {
    match place {
        Ok(place) => run(place).await,
        Err(why) => println!("skipped: {} cases of {name}: {why}", CASES.len()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_conforms() {
    run(Place::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_conforms() {
    run(Place::local()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms_on_s3s_fs() {
    run_if_there("s3 on s3s-fs", Place::s3s_fs(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms_on_a_strict_server() {
    run_if_there("s3 on the strict server", Place::strict_s3(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upyun_conforms_on_a_strict_server() {
    run_if_there("upyun on the strict server", Place::upyun(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_conforms_on_azurite() {
    run_if_there("azure on Azurite", Place::azurite(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oss_conforms_on_a_strict_server() {
    run_if_there("oss on the strict server", Place::strict_oss(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cos_conforms_on_a_strict_server() {
    run_if_there("cos on the strict server", Place::strict_cos(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bos_conforms_on_a_strict_server() {
    run_if_there("bos on the strict server", Place::strict_bos(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ks3_conforms_on_a_strict_server() {
    run_if_there("ks3 on the strict server", Place::strict_ks3(CASES.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qiniu_conforms_on_a_strict_server() {
    run_if_there("qiniu on the strict server", Place::strict_qiniu(CASES.len())).await;
}
