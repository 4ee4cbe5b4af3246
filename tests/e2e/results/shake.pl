# Changes a tree at random, as a seed says, and prints what is in it before and afterwards.
use strict; use warnings; use Fcntl ':mode';
my ($seed, $times) = @ARGV;
srand $seed;

sub entries { my @all = split /\0/, `find . -mindepth 1 -path ./.git -prune -o -print0`; return sort @all; }
sub quoted { my $text = shift; $text =~ s/([^!-~]|[%])/sprintf '%%%02x', ord $1/ge; return $text; }
sub census {
    my $when = shift;
    my @entries = entries();
    my @files = grep { -f $_ && !-l $_ } @entries;
    my %hash;
    open my $list, '>', "/tmp/list.$$" or die $!;
    print $list join '', map { "$_\0" } @files;
    close $list;
    for my $line (split /\0/, `xargs -0 -r sha256sum -z </tmp/list.$$`) { $hash{substr $line, 66} = substr $line, 0, 64; }
    unlink "/tmp/list.$$";
    for my $path (@entries) {
        my $mode = (lstat $path)[2];
        my $what = -l $path ? 'l ' . quoted(readlink $path) : -d $path ? 'd' : -f $path ? (S_IMODE($mode) & 0100 ? 'x ' : 'f ') . $hash{$path} : next;
        print "$when ", quoted(substr $path, 2), " $what\n";
    }
}
sub spill { my ($path, $text) = @_; open my $file, '>', $path or die "$path: $!"; print $file $text; close $file; }

census('before') if $times;
my @odd = ("\xff\xfe", "a\nb", "\e[2J", ' ', '-rf', "x'\"\$(id)", "\xc3\xa9", "e\xcc\x81", 'n' x 255);
my @entries = entries();
for my $n (1 .. $times) {
    my $path = $entries[int rand @entries];
    next unless -e $path || -l $path;
    my $is_file = -f $path && !-l $path;
    my $to = $path =~ s{[^/]*$}{}r . (rand() < 0.3 ? $odd[int rand @odd] : "new$n");
    my $what = int rand 10;
    if ($what == 0 && $is_file) { open my $file, '>>', $path or die $!; print $file "more\r\n" x int rand 40; close $file; }
    elsif ($what == 1) { spill($to, "text $n\0" x int rand 9) unless -e $to || -l $to; }
    elsif ($what == 2 && !-d $path) { unlink $path; }
    elsif ($what == 3 && $is_file) { rename $path, $to unless -e $to || -l $to; }
    elsif ($what == 4 && $is_file) { chmod((S_IMODE((stat $path)[2])) ^ 0111, $path); }
    elsif ($what == 5 && $is_file) { unlink $path; symlink "../x$n", $path; }
    elsif ($what == 6 && $is_file) { unlink $path; mkdir $path; spill("$path/inner", $n); }
    elsif ($what == 7 && -l $path) { unlink $path; rand() < 0.5 ? symlink("y$n", $path) : spill($path, $n); }
    elsif ($what == 8 && $is_file) { link $path, $to unless -e $to || -l $to; }
    elsif ($what == 9) { mkdir $to unless -e $to || -l $to; }
}
census('after');
