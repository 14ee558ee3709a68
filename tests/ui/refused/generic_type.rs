use mobula::remote;

#[remote]
fn largest<T: PartialOrd>(values: Vec<T>) -> Option<T> {
    values.into_iter().reduce(|a, b| if a < b { b } else { a })
}

fn main() {
    let _: Option<u8> = mobula::get(largest::remote(vec![1, 2])).unwrap();
}
