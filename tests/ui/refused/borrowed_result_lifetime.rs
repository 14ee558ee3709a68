use mobula::remote;

use std::borrow::Cow;

#[remote]
fn trim(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text.trim())
}

fn main() {
    let _: String = mobula::get(trim::remote(" manta ")).unwrap();
}
