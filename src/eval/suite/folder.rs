//! `MedSafetyBench` as it is published: folders of halves (`train`, `test`) and of generators (`gpt4`, `llama2`), in them a file a
//! principle whose name ends in its number: CSV with `harmful_medical_request` and `safe_response`, or plain text. Where folders and files
//! are named otherwise, what the names do not say is not known.

use super::row::principle;
use super::{Aim, Item, file};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How deep folders are looked into.
const DEEPEST: usize = 6;

const HALVES: [&str; 2] = ["train", "test"];

/// The items of all files below a folder.
pub(super) fn read(folder: &Path, aim: Option<Aim>) -> Result<Vec<Item>, String> {
    let whole = folder.canonicalize().map_err(|error| error.to_string())?;
    let suite = whole.file_name().and_then(|name| name.to_str()).unwrap_or("folder");
    let mut files = Vec::new();
    find(&whole, 0, &mut files)?;
    files.sort();
    let halves: BTreeSet<&str> = files.iter().filter_map(|file| half(&whole, file)).collect();
    let mut items = Vec::new();
    for path in &files {
        let open = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let suite = match half(&whole, path) {
            Some(half) if halves.len() > 1 => format!("{suite}/{half}"),
            _ => suite.to_owned(),
        };
        let is_csv = path.extension().is_some_and(|kind| kind == "csv");
        let found = if is_csv { file::csv(&suite, open, aim) } else { file::plain(&suite, open, aim) };
        let (principle, generator) = (principle_of(path), generator(&whole, path));
        for item in found.map_err(|why| format!("{}: {why}", path.display()))? {
            items.push(Item {
                principle: item.principle.or_else(|| principle.clone()),
                group: item.group.or_else(|| generator.clone()),
                ..item
            });
        }
    }
    Ok(items)
}

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let is_kind = |kind: &str| path.extension().is_some_and(|extension| extension == kind);
        if path.is_dir() && depth < DEEPEST {
            find(&path, depth + 1, files)?;
        } else if is_kind("csv") || (is_kind("txt") && principle_of(&path).is_some()) {
            files.push(path);
        }
    }
    Ok(())
}

/// The folders between `root` and a file.
fn between<'a>(root: &Path, path: &'a Path) -> impl Iterator<Item = &'a str> {
    let folders = path.strip_prefix(root).ok().and_then(Path::parent);
    folders.into_iter().flat_map(Path::components).filter_map(|part| part.as_os_str().to_str())
}

fn half<'a>(root: &Path, path: &'a Path) -> Option<&'a str> {
    between(root, path).find(|part| HALVES.contains(part))
}

fn generator(root: &Path, path: &Path) -> Option<String> {
    between(root, path).filter(|part| !HALVES.contains(part)).last().map(str::to_owned)
}

/// The principle whose number a file's name ends in, such as `category_3`.
fn principle_of(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let number: String = stem.chars().rev().take_while(char::is_ascii_digit).collect();
    principle(&number).filter(|_| number.len() == 1)
}
