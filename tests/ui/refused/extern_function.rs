use mobula::remote;

#[remote]
extern "C" fn add(a: i32, b: i32) -> i32 {
    a + b
}

fn main() {
    let _: i32 = mobula::get(add::remote(1, 2)).unwrap();
}
