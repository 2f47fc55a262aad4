//! Envoy's response flags: bit positions to the short names that access logs show.

/// Short names by bit.
///
/// Source: Envoy 1.40, the order of `CoreResponseFlag` in `envoy/stream_info/stream_info.h`, which is
/// the bit order of the attribute `response.flags`; the names of `ResponseFlagUtils` in
/// `source/common/stream_info/utility.h`, documented under `%RESPONSE_FLAGS%`.
const NAMES: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC",
    "URX", "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
    "UDO",
];

/// Returns the names of the set bits, the lowest first; a bit that has none is left out.
pub fn names(bits: u64) -> impl Iterator<Item = &'static str> {
    let set = NAMES.into_iter().enumerate();
    set.filter_map(move |(bit, name)| (bits >> bit & 1 == 1).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_that_the_explanation_rests_on_have_envoys_names() {
        let names = |bits| names(bits).collect::<Vec<_>>();
        assert_eq!(names(1 << 1), ["UH"]);
        assert_eq!(names(1 << 2), ["UT"]);
        assert_eq!(names(1 << 3 | 1 << 5), ["LR", "UF"]);
        assert_eq!(names(1 << 6 | 1 << 8), ["UC", "NR"]);
        assert_eq!(names(1 << 14 | 1 << 15), ["DC", "URX"]);
        assert_eq!(names(1 << 29 | 1 << 63), ["UDO"]);
    }
}
