//! The smallest object file that holds one program, as a compiler would write it.

/// `EM_BPF`, `ET_REL` and what else stands at the head of every object here.
const HEAD: [u8; 16] = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Names of the sections, then of the symbol, each ending in 0.
const STRINGS: &[u8] = b"\0socket\0license\0.symtab\0.strtab\0wrong\0";

/// A section's head (`Elf64_Shdr`).
struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    body: Vec<u8>,
    link: u32,
    info: u32,
    entry_bytes: u64,
}

/// Returns an object with the one program `wrong` in the section `name`, made of `instructions`.
pub(crate) fn object(name: &str, instructions: &[u64]) -> Vec<u8> {
    let code: Vec<u8> = instructions
        .iter()
        .flat_map(|it| it.to_le_bytes())
        .collect();
    let sections = [
        section("", 0, 0, Vec::new()),
        section(name, 1, 6, code.clone()),
        section("license", 1, 3, b"GPL\0".to_vec()),
        Section {
            link: 4,
            info: 1,
            entry_bytes: 24,
            ..section(".symtab", 2, 0, symbols(code.len() as u64))
        },
        section(".strtab", 3, 0, STRINGS.to_vec()),
    ];
    let heads_at = 64
        + sections
            .iter()
            .map(|it| padded(it.body.len()))
            .sum::<usize>();
    let mut object = HEAD.to_vec();
    object.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    object.extend([0; 16]);
    object.extend((heads_at as u64).to_le_bytes());
    object.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0]);
    object.extend([sections.len() as u8, 0, 4, 0]);
    let mut heads = Vec::new();
    for section in &sections {
        heads.extend(section.name.to_le_bytes());
        heads.extend(section.kind.to_le_bytes());
        for field in [
            section.flags,
            0,
            object.len() as u64,
            section.body.len() as u64,
        ] {
            heads.extend(field.to_le_bytes());
        }
        heads.extend(section.link.to_le_bytes());
        heads.extend(section.info.to_le_bytes());
        heads.extend(8_u64.to_le_bytes());
        heads.extend(section.entry_bytes.to_le_bytes());
        object.extend(&section.body);
        object.resize(padded(object.len()), 0);
    }
    object.extend(heads);
    object
}

/// An empty symbol, and the program's: a global function at the head of section 1.
fn symbols(length: u64) -> Vec<u8> {
    let mut symbols = vec![0; 24];
    symbols.extend(at("wrong").to_le_bytes());
    symbols.extend([0x12, 0, 1, 0]);
    symbols.extend(0_u64.to_le_bytes());
    symbols.extend(length.to_le_bytes());
    symbols
}

fn section(name: &str, kind: u32, flags: u64, body: Vec<u8>) -> Section {
    Section {
        name: at(name),
        kind,
        flags,
        body,
        link: 0,
        info: 0,
        entry_bytes: 0,
    }
}

/// Returns where `name` stands in [`STRINGS`].
fn at(name: &str) -> u32 {
    let text = std::str::from_utf8(STRINGS).unwrap();
    u32::try_from(text.find(&format!("{name}\0")).unwrap()).unwrap()
}

const fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}
