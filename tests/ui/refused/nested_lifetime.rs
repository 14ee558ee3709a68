use mobula::remote;

use std::borrow::Cow;

#[remote]
fn length(text: Cow<'_, str>) -> usize {
    text.len()
}

fn main() {
    let _: usize = mobula::get(length::remote("mobula")).unwrap();
}
