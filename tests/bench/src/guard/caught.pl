use strict; use Socket; use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
my ($name, $port, $turns) = @ARGV;
my ($proxy_host, $proxy_port) = $ENV{http_proxy} =~ m{//([0-9.]+):([0-9]+)} or die "no proxy";
$| = 1;
sub now { clock_gettime(CLOCK_MONOTONIC) }
sub reach { my ($address, $port) = @_;
  socket(my $s, PF_INET, SOCK_STREAM, 0) or die; setsockopt($s, 6, 1, 1);
  connect($s, sockaddr_in($port, $address)) or die "connect: $!"; $s }
sub word { my ($s) = @_; syswrite($s, "\x01") == 1 or die; sysread($s, my $back, 1) == 1 or die "nothing came back" }
sub asked { my $began = now(); my $s = reach(inet_aton($proxy_host), $proxy_port);
  syswrite($s, "CONNECT $name:$port HTTP/1.1\r\nHost: $name:$port\r\n\r\n"); my $answer = "";
  while ($answer !~ /\r\n\r\n/) { sysread($s, $answer, 4096, length $answer) or die "no answer" }
  $answer =~ / 200 / or die $answer; word($s); my $took = now() - $began; close $s; $took }
sub caught { my $began = now(); my $s = reach(inet_aton($name) // die("no name"), $port); word($s);
  my $took = now() - $began; close $s; $took }
for (1 .. $turns) { my @took = $_ % 2 ? (asked(), caught()) : reverse(caught(), asked()); print "@took\n" }
