# Sends a datagram and a name service's question to every UDP port of the address in its argument, connects to those TCP ports that
# services are usually found at, and prints the ports that answered. A socket without a peer is not told of refusals: what is counted was said by a program.
use strict;
use warnings;
use Socket qw(:all);
use Time::HiRes qw(time);

my $address = inet_aton(shift);
socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
my $question = pack('nnnnnn', 7, 0x0100, 1, 0, 0, 0) . pack('C/aC/aC', 'example', 'test', 0) . pack('nn', 1, 1);
my %answered;

sub gather {
    my $deadline = time + shift;
    while (1) {
        vec(my $reads = '', fileno $socket, 1) = 1;
        my $left = $deadline - time;
        select($reads, undef, undef, $left > 0 ? $left : 0) > 0 or last;
        my $from = recv($socket, my $bytes, 512, 0);
        $answered{ (unpack_sockaddr_in($from))[0] } = 1 if defined $from;
    }
}

for my $port (1 .. 65535) {
    send($socket, $_, 0, pack_sockaddr_in($port, $address)) // die "send to port $port: $!" for 'a datagram', $question;
    gather(0) if $port % 256 == 0;
}
gather(1);
# At the own address it has heard itself.
delete $answered{ (unpack_sockaddr_in(getsockname $socket))[0] };
print "udp $_\n" for sort { $a <=> $b } keys %answered;

for my $port (1 .. 1024, 7000 .. 9999) {
    socket(my $stream, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    print "tcp $port\n" if connect($stream, pack_sockaddr_in($port, $address));
}
