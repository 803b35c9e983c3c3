//! Leaves the tables for unwinding, a sixth of each function, out of the functions that are deployed: with `panic = "abort"`
//! nothing unwinds. rustc's own option, `force-unwind-tables`, cannot be set for one profile, and tests do unwind.

use std::env;
use std::fs;
use std::path::PathBuf;

const SCRIPT: &str = "
SECTIONS { /DISCARD/ : { *(.eh_frame .eh_frame_hdr .gcc_except_table .gcc_except_table.*) } }
INSERT AFTER .text;
";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // The linkers of other systems know no such scripts.
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let script = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("no-unwinding.ld");
        fs::write(&script, SCRIPT).expect("OUT_DIR is there to be written to");
        // The example is the hello world that benches/ measures the functions against.
        for linked in ["bins", "examples"] {
            println!("cargo::rustc-link-arg-{linked}=-Wl,-T,{}", script.display());
        }
    }
}
