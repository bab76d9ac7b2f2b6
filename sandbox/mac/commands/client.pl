# What an emulated command's wrapper starts: `perl client.pl <socket> <command> <arguments>`. Sends the call to the Mac's
# control socket and prints the answer. The protocol is described in ../control.ts. In Perl, because an installation runs
# some fifty commands: Perl starts in a tenth of Node's time, and macOS and Debian both come with it (perl-base). No module
# is loaded where it can be avoided: Socket and Cwd take ten times as long as everything else here.
use strict;

my ($AF_UNIX, $SOCK_STREAM) = (1, 1); # sys/socket.h, of Linux and of macOS

# sockaddr_un: macOS and the BSDs have a length before the family, Linux has a family of two bytes.
sub unix_address {
    my ($path) = @_;
    return $^O eq 'linux' ? pack('S a108', $AF_UNIX, $path) : pack('C C a104', 106, $AF_UNIX, $path);
}

sub working_folder {
    my $linked = readlink '/proc/self/cwd';
    return $linked if defined $linked;
    require Cwd;
    return Cwd::getcwd();
}

my ($path, $command, @argv) = @ARGV;

sub json_string {
    my ($text) = @_;
    $text =~ s/([\x00-\x1f"\\])/sprintf '\\u%04x', ord $1/ge;
    return qq("$text");
}

sub fail {
    print STDERR "$command: the sandbox's Mac does not answer: $_[0]\n";
    exit 70;
}

# Standard input is read only when the arguments ask for it: it may never end. `-o -` is standard output (plutil).
my $reads_stdin = grep({ $argv[$_] eq '-' && ($_ == 0 || $argv[$_ - 1] ne '-o') } 0 .. $#argv) || ($command eq 'shasum' && !grep({ !/^(-.*|\d+)$/ } @argv));
my $stdin = '';
if ($reads_stdin) { local $/; binmode STDIN; $stdin = <STDIN> // ''; }
my $user = $ENV{SLM_SANDBOX_USER} // $ENV{USER} // '';
my $call = sprintf qq({"command":%s,"argv":[%s],"cwd":%s,"user":%s,"stdin":"%s"}\n),
    json_string($command), join(',', map { json_string($_) } @argv), json_string(working_folder()), json_string($user),
    unpack('H*', $stdin);

socket(my $socket, $AF_UNIX, $SOCK_STREAM, 0) or fail($!);
connect($socket, unix_address($path)) or fail($!);
binmode $socket;
binmode STDOUT;
binmode STDERR;
$SIG{PIPE} = 'IGNORE';
{ my $old = select $socket; $| = 1; select $old; }
print $socket $call or fail($!);
shutdown $socket, 1;
my $answer = do { local $/; <$socket> } // '';
$answer =~ s/^(\d+) (\d+)\n// or fail('unexpected answer');
my ($code, $length) = ($1, $2);
print STDOUT substr($answer, 0, $length);
print STDERR substr($answer, $length);
exit $code;
