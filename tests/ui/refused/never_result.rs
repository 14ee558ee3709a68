use mobula::remote;

#[remote]
fn forever() -> ! {
    loop {}
}

fn main() {
    let _: () = mobula::get(forever::remote()).unwrap();
}
