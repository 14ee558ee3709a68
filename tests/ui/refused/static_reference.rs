use mobula::remote;

#[remote]
fn length(text: &'static str) -> usize {
    text.len()
}

fn main() {
    let _: usize = mobula::get(length::remote("mobula")).unwrap();
}
