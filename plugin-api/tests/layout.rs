//! What crosses the boundary, in full, against `layout.txt`.
//!
//! The functions and types that cross are frozen for the whole of contract 1 (`docs/decisions/0001-plugin-abi.md`). This
//! test fails when one of them changes its shape: then every plug-in that is already built stops loading, and a host
//! that is already installed refuses every plug-in built from then on.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::fmt::Write;

use abi_stable::StableAbi;
use abi_stable::type_layout::{TLData, TLFields, TLFunction, TypeLayout};
use claude_bottle_plugin_api::CONTRACT;
use claude_bottle_plugin_api::abi::ROOT_SYMBOL;
use claude_bottle_plugin_api::abi::module::{HostTableRef, ModuleRef};

const COMMITTED: &str = include_str!("layout.txt");

const ADVICE: &str = "\
What crosses the boundary has changed.

If that was not meant: undo it. Most changes do not need it. A new field of a document, a new operation (`operation`), a
new service of the host (`service`), a new capability: none of these touches a function that crosses.

If it is meant: it is contract 2, and every plug-in has to be rebuilt. Raise the major version in src/version.rs (`CONTRACT`
and its literal) and in Cargo.toml, say so in docs/decisions/ and docs/plugin-authors.md, and commit the new text:
";

#[test]
fn what_crosses_is_what_was_committed() {
    let now = listing();
    let recorded: Vec<_> = COMMITTED.lines().collect();
    let current: Vec<_> = now.lines().collect();
    if recorded == current {
        return;
    }
    let removed = recorded.iter().filter(|line| !current.contains(line)).map(|line| format!("- {line}\n"));
    let added = current.iter().filter(|line| !recorded.contains(line)).map(|line| format!("+ {line}\n"));
    let file = std::env::temp_dir().join("claude-bottle-layout.txt");
    std::fs::write(&file, &now).unwrap();
    let command = format!("cp {} plugin-api/tests/layout.txt", file.display());
    panic!("{ADVICE}{command}\n\n{}{}", removed.collect::<String>(), added.collect::<String>());
}

#[test]
fn the_committed_text_is_of_this_contract() {
    // With another major the text has to be looked at again, even when nothing in it differs.
    let first = COMMITTED.lines().next().unwrap();
    assert_eq!(first, format!("contract {}", CONTRACT.major));
    assert!(COMMITTED.contains("operation: fn("), "the listing lists functions");
}

fn listing() -> String {
    let (mut seen, mut texts) = (BTreeSet::new(), BTreeSet::new());
    collect(ModuleRef::LAYOUT, &mut seen, &mut texts);
    collect(HostTableRef::LAYOUT, &mut seen, &mut texts);
    let (library, version) = ModuleRef::LAYOUT.package_and_version();
    let mut text = format!("contract {}\n", CONTRACT.major);
    writeln!(text, "{library} {version}").unwrap();
    writeln!(text, "symbol {}", ROOT_SYMBOL.trim_end_matches('\0')).unwrap();
    for description in texts {
        write!(text, "\n{description}").unwrap();
    }
    text
}

/// Describes a type and everything it is made of; `seen` is by identity, since two types may share a name.
fn collect(layout: &'static TypeLayout, seen: &mut BTreeSet<String>, texts: &mut BTreeSet<String>) {
    if !seen.insert(format!("{:?}", layout.get_utypeid())) {
        return;
    }
    let (size, align) = (layout.size(), layout.alignment());
    let mut text = format!("{}::{}\n", layout.mod_path(), name_of(layout));
    writeln!(text, "  size {size}, alignment {align}, {:?}", layout.repr_attr()).unwrap();
    let mut inner = Vec::new();
    match layout.data() {
        TLData::PrefixType(prefix) => {
            writeln!(text, "  {} mandatory fields", prefix.first_suffix_field).unwrap();
            describe_fields(prefix.fields, &mut text, &mut inner);
        }
        TLData::Struct { fields } | TLData::Union { fields } => {
            describe_fields(fields, &mut text, &mut inner)
        }
        TLData::Enum(arms) => {
            let (names, counts) = (arms.variant_names, arms.field_count);
            writeln!(text, "  arms {names} with {counts:?} fields, numbered {:?}", arms.discriminants)
                .unwrap();
            describe_fields(arms.fields, &mut text, &mut inner);
        }
        TLData::Primitive(primitive) => writeln!(text, "  {primitive:?}").unwrap(),
        TLData::Opaque => writeln!(text, "  opaque").unwrap(),
    }
    inner.extend(layout.phantom_fields().iter().map(|field| field.layout()));
    texts.insert(text);
    for layout in inner {
        collect(layout, seen, texts);
    }
}

fn describe_fields(fields: TLFields, text: &mut String, inner: &mut Vec<&'static TypeLayout>) {
    for field in fields.iter() {
        let functions: Vec<_> = field.function_range().iter().collect();
        if functions.is_empty() {
            writeln!(text, "  {}: {}", field.name(), name_of(field.layout())).unwrap();
        }
        for function in functions {
            writeln!(text, "  {}: {}", field.name(), signature(&function, inner)).unwrap();
        }
        inner.push(field.layout());
    }
}

/// Writes a function's type, and adds the types it is made of to `inner`.
fn signature(function: &TLFunction, inner: &mut Vec<&'static TypeLayout>) -> String {
    let names = function.param_names.as_str().split([',', ';']);
    let layouts: Vec<_> = function.param_type_layouts.iter().map(|layout| layout()).collect();
    let parameters: Vec<_> =
        names.zip(&layouts).map(|(name, layout)| format!("{name}: {}", name_of(layout))).collect();
    let returned = function.return_type_layout().map(|layout| layout());
    inner.extend(layouts.iter().copied().chain(returned));
    let unsafety = if function.to_string().starts_with("unsafe ") { "unsafe " } else { "" };
    format!("{unsafety}fn({}) -> {}", parameters.join(", "), returned.map_or("()".to_owned(), name_of))
}

/// Names a type; abi_stable leaves the parameters of its own generic enums out.
fn name_of(layout: &'static TypeLayout) -> String {
    let name = layout.full_type().to_string().trim().to_owned();
    match layout.data() {
        TLData::Enum(arms) if !arms.fields.is_empty() => {
            let arms: Vec<_> = arms.fields.iter().map(|field| name_of(field.layout())).collect();
            format!("{name}<{}>", arms.join(", "))
        }
        _ => name,
    }
}
