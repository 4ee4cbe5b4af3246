# Searches everything the agent can read for a private key: files, and the memory, environment and arguments of processes.
#
# The key comes in reverse on standard input, so that nothing but this process ever holds it as it is. Arguments: the time
# before the key was made; what holds it was written later. A control text is searched for as well, which is in a file and in a
# process of the agent's own: a search that finds nothing must be able to find.
# Prints `WHAT PLACE: ITEM`, where WHAT is `key` or `control`, and `process NAME: WHAT OF IT COULD BE OPENED`.
use strict;
use warnings;
use File::Find;
use MIME::Base64;
use POSIX ();

my ($since) = @ARGV;
my $text = reverse do { local $/; <STDIN> };
my @body = grep { !/-----/ && /\S/ } split /\n/, $text;
# In OpenSSH's format the seed is 32 bytes before the last copy of the public key; the first two lines hold no secret.
# https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key
my $raw = decode_base64(join '', @body);
my ($public) = $raw =~ /ssh-ed25519\0\0\0 (.{32})/s or die "no such key";
my $control = join '-', 'control', $$, $since;
my %needles = (control => [$control], key => [substr($raw, rindex($raw, $public) - 32, 32), @body[2 .. $#body]]);

sub look {
    my ($place, $bytes) = @_;
    for my $what (sort keys %needles) {
        print "$what $place\n" if grep { index($bytes, $_) >= 0 } @{ $needles{$what} };
    }
}

sub look_in_file {
    my ($place, $path) = @_;
    open my $file, '<:raw', $path or return 0;
    my $bytes = '';
    # Overlapping, so that what lies across two reads is seen.
    while (sysread $file, $bytes, 1 << 20, length $bytes) {
        look($place, $bytes);
        $bytes = substr $bytes, -200 if length $bytes > 200;
    }
    return 1;
}

sub look_in_memory {
    my ($place, $pid) = @_;
    open my $maps, '<', "/proc/$pid/maps" or return 0;
    my @ranges = map { /^(\w+)-(\w+) r/ && !/\[v/ ? [hex $1, hex $2] : () } <$maps>;
    open my $memory, '<:raw', "/proc/$pid/mem" or return 0;
    for my $range (@ranges) {
        sysseek $memory, $range->[0], 0 or next;
        look($place, $_) if sysread $memory, $_, $range->[1] - $range->[0];
    }
    return 1;
}

# PTRACE_SEIZE, which does not stop the process and ends with this one. Returns whether it was allowed.
sub trace {
    my ($pid) = @_;
    my $number = (POSIX::uname())[4] eq 'x86_64' ? 101 : 117;
    return syscall($number, 0x4206, $pid, 0, 0) == 0;
}

open my $planted, '>', '/tmp/planted' or die $!;
print $planted $control;
close $planted;
# Open in that process as well, beyond its exec.
my $held;
{
    local $^F = 50;
    open $held, '<', '/tmp/planted' or die $!;
}
# Its environment is there when it has become the other program, and that is when this pipe closes.
pipe my $begun, my $begins or die $!;
my $child = fork // die $!;
if (!$child) {
    $ENV{CONTROL} = $control;
    exec 'sleep', 'infinity' or die $!;
}
close $begins;
<$begun>;

find({ no_chdir => 1, wanted => sub {
    return $File::Find::prune = 1 if $_ eq '/proc' || $_ eq '/sys';
    my @stat = lstat;
    look_in_file("file: $_", $_) if @stat && -f _ && $stat[10] >= $since;
} }, '/');

for my $pid (sort { $a <=> $b } map { m{(\d+)} } glob '/proc/[0-9]*') {
    next if $pid == $$;
    my $name = do { open my $comm, '<', "/proc/$pid/comm" or next; <$comm> };
    chomp $name;
    my @opened = grep { look_in_file("$_: $name", "/proc/$pid/$_") } qw(environ cmdline);
    push @opened, 'memory' if look_in_memory("memory: $name", $pid);
    push @opened, 'descriptors' if opendir my $descriptors, "/proc/$pid/fd";
    -f $_ && look_in_file("descriptor: $name", $_) for glob "/proc/$pid/fd/*";
    push @opened, 'ptrace' if trace($pid);
    print "process $name: @opened\n";
}
kill KILL => $child;
