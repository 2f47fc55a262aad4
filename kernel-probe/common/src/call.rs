//! Calls of functions of the kernel itself, which are named by their number in its types (BTF).
//!
//! No compiler knows those numbers, and Rust eBPF has no relocations for them: the programs hold
//! calls of numbers that are nobody's, and the loader puts the right ones there.

/// `BPF_JMP | BPF_CALL` with `BPF_PSEUDO_KFUNC_CALL` as its source: calls the number in the upper half.
pub const KERNEL_CALL: u64 = 0x2085;

/// `BPF_ALU64 | BPF_MOV`: answers zero, in the place of a call that this kernel does not know.
pub const ANSWER_ZERO: u64 = 0x00b7;

/// Calls `bpf_rdonly_cast`.
pub const CAST: u64 = to(0x5359_4e01);

/// Calls `bpf_cast_to_kern_ctx`.
pub const CAST_CONTEXT: u64 = to(0x5359_4e02);

/// Returns the instruction that calls the function numbered `number`.
#[must_use]
pub const fn to(number: u32) -> u64 {
    KERNEL_CALL | (number as u64) << 32
}
