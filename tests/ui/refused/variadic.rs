use mobula::remote;

#[remote]
unsafe extern "C" fn log(format: &str, arguments: ...) {
    let _ = (format, arguments);
}

fn main() {
    log::remote("{}");
}
