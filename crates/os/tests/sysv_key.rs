//! Keys of System V objects: the same as C's, and never cut to size.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use twixt_os::ErrorKind;
use twixt_os::sysv::Key;
use twixt_testkit::{compile_c, scratch, test};

const FTOK: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        key_t key = ftok(argv[i], atoi(argv[i + 1]));
        if (key == -1) return 1;
        printf("%d\n", key);
    }
    return 0;
}
"#;

#[test]
fn a_key_from_a_path_is_what_ftok_gives() {
    let _test = test!();
    let directory = scratch();
    let ftok = compile_c(directory.path(), "ftok", FTOK, &[]);
    let file = directory.path().join("file");
    File::create(&file).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    // Different file systems, a directory, a symbolic link (followed), and the extremes of the project number, whose
    // top bit makes the key negative.
    for path in [file.as_path(), &link, directory.path(), "/proc/version".as_ref(), "/dev/null".as_ref()] {
        for project in [1, 42, 127, 128, 255] {
            let output = Command::new(&ftok).arg(path).arg(project.to_string()).output().unwrap();
            let expected: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
            assert_eq!(Key::from_path(path, project).unwrap().as_raw(), expected, "{}", path.display());
        }
    }
}

#[test]
fn the_project_number_and_the_file_make_the_key() {
    let _test = test!();
    let directory = scratch();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let _held = (File::create(&one).unwrap(), File::create(&two).unwrap());
    let key = Key::from_path(&one, 1).unwrap();
    assert_eq!(Key::from_path(&one, 1).unwrap(), key);
    assert_ne!(Key::from_path(&one, 2).unwrap(), key);
    // Only 16 bits of the inode go into the key.
    let low = |path| fs::metadata(path).unwrap().ino() as u16;
    assert_eq!(Key::from_path(&two, 1).unwrap() == key, low(&one) == low(&two));
}

#[test]
fn a_missing_file_is_not_found() {
    let _test = test!();
    let missing = scratch().path().join("missing");
    let error = Key::from_path(&missing, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let path = missing.display();
    let expected = format!("cannot derive a key from file {path}: no such file or directory (ENOENT)");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_file_behind_a_file_is_refused() {
    let _test = test!();
    let directory = scratch();
    fs::write(directory.path().join("file"), "").unwrap();
    let error = Key::from_path(directory.path().join("file/below"), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn project_0_is_refused() {
    let error = Key::from_path("/dev/null", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().ends_with("the project number is 0; ftok takes 1 to 255"), "{error}");
}

#[test]
fn random_keys_differ_and_are_not_private() {
    let mut keys: Vec<_> = (0..64).map(|_| Key::random().unwrap().as_raw()).collect();
    keys.sort_unstable();
    keys.dedup();
    // Among 64 of 2^32, two are the same once in two million runs; never half of them.
    assert!(keys.len() > 32, "{keys:?}");
    assert!(!keys.contains(&0));
}

#[test]
fn a_number_is_a_key_or_refused_but_never_cut() {
    assert_eq!(Key::try_from(123_456), Ok(Key::new(123_456).unwrap()));
    assert_eq!(Key::try_from(-1), Ok(Key::new(-1).unwrap()));
    assert_eq!(Key::try_from(0xffff_ffff), Ok(Key::new(-1).unwrap()));
    assert_eq!(Key::try_from(i64::from(i32::MIN)), Ok(Key::new(i32::MIN).unwrap()));
    for wrong in [0, 1 << 32, (1 << 32) + 5, i64::from(i32::MIN) - 1, i64::MIN, i64::MAX] {
        assert!(Key::try_from(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn text_is_a_key_as_it_is_printed() {
    for number in [1, 123_456, i32::MAX, i32::MIN, -1] {
        let key = Key::new(number).unwrap();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(number.to_string().parse(), Ok(key));
    }
    assert_eq!(Key::new(0x1e240).unwrap().to_string(), "0x0001e240");
    for wrong in ["", "0", "0x0", "0x", "0x-1", "0x+1", "ten", "4294967296", "0x1ffffffff", "1 ", "--1"] {
        let error = wrong.parse::<Key>().unwrap_err();
        assert!(error.to_string().starts_with("a key is a number of 32 bits other than 0"), "{error}");
    }
}

#[test]
fn the_private_key_is_no_agreed_key() {
    assert!(Key::PRIVATE.is_private());
    assert_eq!(Key::new(0), None);
    assert!(!Key::new(1).unwrap().is_private());
}
