use mobula::remote;

#[remote]
fn length<'a>(text: &'a str) -> usize {
    text.len()
}

fn main() {
    let _: usize = mobula::get(length::remote("mobula")).unwrap();
}
