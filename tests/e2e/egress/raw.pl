# Sends datagrams of its own making to an address, past the system's routes: as a frame to the sidecar, which might be a router, and as
# a packet with a source of its own choosing. Arguments: the sidecar's IP address, the other's, and its UDP port.
# Prints a line for each way, `sent` or what did not let it.
use strict;
use warnings;
use Socket qw(inet_aton pack_sockaddr_in);

my ($sidecar, $target, $port) = @ARGV;
my $text = "a datagram\n";
my $datagram = pack('nnnn', 7000, $port, 8 + length $text, 0) . $text;
# From a neighbour of the sidecar's, so that it is not taken for its own.
my $source = pack 'C4', (unpack 'C3', inet_aton($sidecar)), 99;
my $head = pack('CCnnnCCn', 0x45, 0, 28 + length $text, 1, 0, 64, 17, 0) . $source . inet_aton($target);
my $sum = unpack '%32n*', $head;
$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
substr $head, 10, 2, pack 'n', ~$sum & 0xffff;

sub frame {
    # AF_PACKET, SOCK_RAW: https://man7.org/linux/man-pages/man7/packet.7.html
    socket(my $socket, 17, 3, 0x0008) or return "socket: $!";
    # SIOCGIFINDEX and SIOCGIFHWADDR: https://man7.org/linux/man-pages/man7/netdevice.7.html
    my ($index, $own) = map { my $request = pack 'a16x24', 'eth0'; ioctl $socket, $_, $request; substr $request, 16 } 0x8933, 0x8927;
    # An engine makes hardware addresses of IP addresses.
    my $router = pack('CC', 2, 0x42) . inet_aton($sidecar);
    my $address = pack 'SniSCCa8', 17, 0x0800, unpack('i', $index), 1, 0, 6, $router;
    my $frame = $router . substr($own, 2, 6) . pack('n', 0x0800) . $head . $datagram;
    return defined send($socket, $frame, 0, $address) ? 'sent' : "send: $!";
}

sub packet {
    # IPPROTO_RAW: the packet brings its own head.
    socket(my $socket, 2, 3, 255) or return "socket: $!";
    return defined send($socket, $head . $datagram, 0, pack_sockaddr_in(0, inet_aton($target))) ? 'sent' : "send: $!";
}

print 'frame: ', frame(), "\n", 'packet: ', packet(), "\n";
