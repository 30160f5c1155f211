//! How much a stranger has to write: one file, small enough to be read at a sitting.

use crate::PROGRAMS;

const LINES_MAX: usize = 400;
const WIDTH_MAX: usize = 110;

#[test]
fn a_foreign_client_takes_at_most_400_lines() {
    let text = std::fs::read_to_string(format!("{}/client.py", PROGRAMS.folder)).unwrap();

    let widest = text.lines().map(|line| line.chars().count()).max();

    assert!(text.lines().count() <= LINES_MAX);
    assert!(widest <= Some(WIDTH_MAX), "{widest:?}");
}

#[test]
fn it_needs_no_other_file() {
    let files = std::fs::read_dir(PROGRAMS.folder)
        .unwrap()
        .map(Result::unwrap);
    let modules: Vec<String> = files
        .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".py")?.to_owned()))
        .collect();
    let text = std::fs::read_to_string(format!("{}/client.py", PROGRAMS.folder)).unwrap();

    let imports = |module: &String| {
        let names = [format!("import {module}"), format!("from {module} ")];
        text.lines()
            .any(|line| names.iter().any(|name| line.starts_with(name)))
    };

    assert!(modules.contains(&"client".to_owned()));
    assert!(!modules.iter().any(imports), "{modules:?}");
}
