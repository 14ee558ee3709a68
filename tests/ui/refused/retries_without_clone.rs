use mobula::remote;

struct Ticket(u64);

#[remote(local, max_retries = 3)]
fn redeem(ticket: Ticket, book: &Ticket) -> u64 {
    ticket.0 + book.0
}

fn main() {
    redeem::remote(Ticket(1), Ticket(2));
    redeem::options().max_retries(1).remote(Ticket(1), Ticket(2));
}
