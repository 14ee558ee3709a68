use mobula::remote;

#[remote]
unsafe fn read(address: usize) -> u8 {
    unsafe { *(address as *const u8) }
}

fn main() {
    let _: u8 = mobula::get(read::remote(0)).unwrap();
}
