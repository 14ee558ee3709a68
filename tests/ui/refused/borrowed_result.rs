use mobula::remote;

#[remote]
fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or("")
}

fn main() {
    let _: String = mobula::get(first_word::remote("manta birostris")).unwrap();
}
