//! What files are called, and what no text may say.

use crate::paths;
use crate::rules;
use crate::source::Source;
use crate::tree::Tree;
use crate::violation::Violation;
use crate::workspace::Package;

fn is_homeless(name: &str) -> bool {
    rules::HOMELESS.contains(&name)
}

fn homeless(place: String, name: &str) -> Violation {
    Violation::new(
        "law 6",
        place,
        format!(
            "is called {name}: name the noun that it holds, or move each part to the room of its noun"
        ),
    )
}

/// Law 6, of a package; of its name, every word counts.
pub(super) fn homeless_package(folder: &str, package: &Package, violations: &mut Vec<Violation>) {
    violations.extend(
        package
            .name
            .split(['-', '_'])
            .filter(|word| is_homeless(word))
            .map(|word| homeless(format!("{folder}/Cargo.toml"), word)),
    );
}

/// Law 6, of modules, whether they have a file or not.
pub(super) fn homeless_modules(source: &Source, violations: &mut Vec<Violation>) {
    let words = paths::paths(&source.code);
    for pair in words.windows(2).filter(|pair| pair[0].segments == ["mod"]) {
        if let Some(name) = pair[1].segments.first().filter(|name| is_homeless(name)) {
            violations.push(homeless(format!("{}:{}", source.path, pair[1].line), name));
        }
    }
}

/// Law 6, of folders and source files.
pub(super) fn homeless_files(tree: &Tree, violations: &mut Vec<Violation>) {
    let mut last = String::new();
    for (path, _) in tree.files() {
        let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
        for folder in folders.split('/').filter(|folder| is_homeless(folder)) {
            // Files are in order, so that those of one folder are neighbours.
            if last != folders {
                violations.push(homeless(folders.to_owned(), folder));
            }
        }
        folders.clone_into(&mut last);
        if let Some(stem) = file.strip_suffix(".rs").filter(|stem| is_homeless(stem)) {
            violations.push(homeless(path.to_owned(), stem));
        }
    }
}

/// No text points out of the project, except tests and measurements at the data beside it.
pub(super) fn places(tree: &Tree, violations: &mut Vec<Violation>) {
    for (path, text) in tree.files().filter(|(path, _)| *path != rules::THIS_FILE) {
        let source = tree.sources().iter().find(|source| source.path == path);
        let measures = path
            .split('/')
            .any(|folder| matches!(folder, "tests" | "bench" | "benches"));
        for (number, line) in (1..).zip(text.lines()) {
            let for_tests = measures || source.is_some_and(|source| source.is_test_line(number));
            if line.contains(rules::BESIDE) && !for_tests {
                violations.push(Violation::new(
                    "places",
                    format!("{path}:{number}"),
                    format!("points to {}, outside the project", rules::BESIDE),
                ));
            }
            for place in rules::OF_ONE_MACHINE
                .iter()
                .filter(|place| starts_in(line, place))
            {
                violations.push(Violation::new(
                    "places",
                    format!("{path}:{number}"),
                    format!("names {place}, a folder of one machine"),
                ));
            }
        }
    }
}

/// Whether `line` holds a path that starts with `place`, and not one that merely goes through a folder of that name.
fn starts_in(line: &str, place: &str) -> bool {
    let goes_on = |before: char| before.is_alphanumeric() || "._-/*}>".contains(before);
    line.match_indices(place)
        .any(|(at, _)| !line[..at].ends_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_starts_in_a_place_or_goes_through_it() {
        assert!(
            starts_in("see /place/x", "/place/")
                && starts_in("`/place/x`", "/place/")
                && starts_in("/place/", "/place/")
        );
        assert!(
            !starts_in("see docs/place/x", "/place/")
                && !starts_in("../place/x", "/place/")
                && !starts_in("see /placement", "/place/")
        );
    }
}
