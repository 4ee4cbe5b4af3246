# Says each name with the label of its first argument that is asked for on port 53, on any interface of this network.
use strict;
use warnings;

my $label = shift;
$| = 1;
# PF_PACKET, SOCK_DGRAM (frames without their link-layer header), ETH_P_ALL: packet(7).
socket(my $packets, 17, 2, unpack 'S', pack 'n', 3) or die "packet socket: $!";
print "ready\n";
while (1) {
    my $ready = '';
    vec($ready, fileno $packets, 1) = vec($ready, fileno STDIN, 1) = 1;
    select($ready, undef, undef, undef);
    # The test has ended.
    exit 0 if vec($ready, fileno STDIN, 1);
    recv $packets, my $packet, 65535, 0;
    my $version = length $packet ? ord($packet) >> 4 : 0;
    my $payload = $version == 4 ? (ord($packet) & 15) * 4 : $version == 6 ? 40 : next;
    next if length $packet < $payload + 4;
    my ($from, $to) = unpack "x$payload n n", $packet;
    print lc $1, "\n" if $to == 53 && $packet =~ /([\w-]*\Q$label\E[\w-]*)/i;
}
