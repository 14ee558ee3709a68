use mobula::remote;

#[remote(stream)]
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ')
}

fn main() {
    let _: mobula::ObjectStream<String> = words::remote("a b");
}
