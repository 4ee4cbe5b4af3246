# Tries each target `PROTOCOL ADDRESS PORT` of its arguments, all at once, and prints what came of each:
# `answered` when anything came back, a refusal included, else `silent` or why it could not be sent.
use strict;
use warnings;
use Errno qw(EINPROGRESS ECONNREFUSED);
use Socket qw(:all);
use Time::HiRes qw(time);

my %pending;

# What a refusal tells: that somebody is there, unless the bottle's own loopback has nobody at this port.
sub refused { return $_[0] =~ /^127\./ ? 'nobody' : 'answered' }

# A DNS query for an address of the name.
sub query {
    my $question = join '', map { pack 'C/a', $_ } split(/\./, shift), '';
    return pack('nnnnnn', 7, 0x0100, 1, 0, 0, 0) . $question . pack('nn', 1, 1);
}

sub open_target {
    my ($protocol, $address, $port, $name) = @_;
    my $stream = $protocol =~ /tcp/;
    my $hints = { flags => AI_NUMERICHOST, socktype => $stream ? SOCK_STREAM : SOCK_DGRAM };
    my ($failed, $found) = getaddrinfo($address, $port, $hints);
    return "no address: $failed" if $failed;
    my $six = $found->{family} == AF_INET6;
    # 58 is ICMPv6; both are sent by unprivileged "ping sockets", as ping does.
    my $number = $protocol eq 'icmp' ? ($six ? 58 : 1) : 0;
    socket(my $socket, $found->{family}, $found->{socktype}, $number) or return "socket: $!";
    $socket->blocking(0);
    my $connected = connect($socket, $found->{addr});
    return $! == ECONNREFUSED ? refused($address) : "connect: $!" unless $connected || $! == EINPROGRESS;
    my %payload = (
        icmp => pack('CCnnn', $six ? 128 : 8, 0, 0, 1, 1),
        udp => 'a datagram',
        'dns-udp' => query($name // ''),
        'dns-tcp' => pack('n/a', query($name // '')),
    );
    $pending{fileno $socket} = { socket => $socket, address => $address, stream => $stream, payload => $payload{$protocol} };
    return "send: $!" unless $stream || defined send($socket, $payload{$protocol}, 0);
    return $socket;
}

my (%of, %result);
for my $target (@ARGV) {
    my $opened = open_target(split / /, $target);
    ref $opened ? $of{fileno $opened} = $target : ($result{$target} = $opened);
}

# What a ready socket says: a DNS answer without addresses, such as "server failure", tells nothing of outside.
sub outcome {
    my ($entry, $dns) = @_;
    my $error = unpack 'i', getsockopt($entry->{socket}, SOL_SOCKET, SO_ERROR);
    if ($error) { $! = $error; return $error == ECONNREFUSED ? refused($entry->{address}) : "error: $!" }
    return 'answered' if $entry->{stream} && !$dns;
    my $got = sysread($entry->{socket}, my $bytes, 512);
    return "error: $!" unless defined $got;
    return 'answered' unless $dns;
    # Over TCP two bytes of length come first.
    my $answer = !$entry->{stream} ? $bytes : $got > 2 ? substr($bytes, 2) : '';
    return length $answer >= 12 && unpack('x6n', $answer) ? 'answered' : 'no addresses';
}

my $deadline = time + 2.5;
while (%of && (my $left = $deadline - time) > 0) {
    my ($reads, $writes) = ('', '');
    for my $number (keys %of) {
        my $entry = $pending{$number};
        my $writing = $entry->{stream} && !$entry->{sent};
        vec($writing ? $writes : $reads, $number, 1) = 1;
    }
    select($reads, $writes, undef, $left) > 0 or last;
    for my $number (keys %of) {
        my $entry = $pending{$number};
        my $dns = $of{$number} =~ /^dns/;
        if (vec($writes, $number, 1) && $dns && !unpack 'i', getsockopt($entry->{socket}, SOL_SOCKET, SO_ERROR)) {
            $entry->{sent} = 1;
            send $entry->{socket}, $entry->{payload}, 0;
        } elsif (vec($reads, $number, 1) || vec($writes, $number, 1)) {
            $result{delete $of{$number}} = outcome($entry, $dns);
        }
    }
}
$result{$_} = 'silent' for values %of;
print "$_: $result{$_}\n" for @ARGV;
