//! Divides limits among workers: equal shares of those that have work, so that the sum is never above the
//! limit. Pure.

use proto::v1::Limits;

/// One of `workers` equal shares. A limit of 0 stays "none"; a share is never 0, so a limit below the number
/// of workers is passed by at most one a second and worker.
pub(crate) fn share(limits: &Limits, workers: usize) -> Limits {
    let workers = workers.max(1) as u64;
    let part = |total: u64| if total == 0 { 0 } else { (total / workers).max(1) };
    Limits { bytes_per_s: part(limits.bytes_per_s), requests_per_s: part(limits.requests_per_s) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_never_add_up_to_more_than_the_limit(total in 1000u64.., workers in 1usize..1000) {
            let limits = Limits { bytes_per_s: total, requests_per_s: 0 };
            let each = share(&limits, workers);
            prop_assert!(each.bytes_per_s.saturating_mul(workers as u64) <= total);
            prop_assert!(each.bytes_per_s > 0);
            prop_assert_eq!(each.requests_per_s, 0);
        }
    }
}
