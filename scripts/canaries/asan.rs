//! A use after free that the address sanitizer must report: run by `scripts/test` to
//! prove that the lane sees anything at all. Never part of a build.

fn main() {
    let freed: *const u8 = {
        let block = vec![7_u8; 64];
        block.as_ptr()
    };
    // SAFETY: none. The block was freed above; that is the bug to be found.
    let byte = unsafe { std::ptr::read_volatile(freed) };
    std::process::exit(i32::from(byte == 255));
}
