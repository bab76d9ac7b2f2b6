/**
 * macOS' BSD tools on top of GNU's: wrappers that refuse GNU-only options, and commands that do not exist on a Mac.
 * Sources: the manual pages of macOS 26 and of GNU coreutils, findutils, sed, grep and tar.
 */
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Present on Linux by default, absent on macOS. */
const absent = [
  "apt-get",
  "chpasswd",
  "flock",
  "free",
  "getent",
  "groupadd",
  "ip",
  "ldd",
  "nproc",
  "numfmt",
  "service",
  "setsid",
  "shred",
  "ss",
  "systemctl",
  "tac",
  "timeout",
  "useradd",
  "usermod",
];

interface Tool {
  /** Patterns of sh's `case` for GNU-only arguments. */
  refused: string[];
  /** BSD's getopt stops at the first operand: an option after it is treated as a file. */
  isOrdered?: true;
}

/** One of these letters, alone or combined behind one dash. */
const letters = (set: string): string[] => [`-[${set}]*`, `-[!-]*[${set}]*`];
const long = "--?*";

const tools: Record<string, Tool> = {
  base64: { refused: ["-w*", "--wrap*"] },
  chmod: { refused: [long], isOrdered: true },
  cp: { refused: [long, ...letters("Ttu")], isOrdered: true },
  date: { refused: [long, "-d*"] },
  df: { refused: [long] },
  du: { refused: [long, ...letters("b")] },
  find: { refused: ["-printf", "-fprintf", "-regextype", "-printf0"] },
  grep: { refused: ["-P*", "-[!-]*P*", "--perl-regexp"] },
  head: { refused: ["-n-*", "--lines=-*", "-c-*", "--bytes=-*"] },
  ln: { refused: [long, ...letters("Ttr")], isOrdered: true },
  mkdir: { refused: [long], isOrdered: true },
  mktemp: { refused: [long] },
  mv: { refused: [long, ...letters("Ttu")], isOrdered: true },
  ps: { refused: [long] },
  readlink: { refused: [long, ...letters("emz")] },
  rm: { refused: [long], isOrdered: true },
  sed: { refused: [long, "-i"] },
  tail: { refused: ["--pid*", "--retry"] },
  touch: { refused: [long] },
  tar: {
    refused: ["--transform*", "--xform*", "--wildcards*", "--warning*", "--sort*", "--overwrite*", "--skip-old-files"],
  },
  wc: { refused: [long] },
  xargs: { refused: ["-d*", "--?*"] },
};

/** BSD's `sed -i SUFFIX …` as GNU's `-iSUFFIX …`: BSD's suffix is a separate argument, even when empty. */
const sedInPlace = `if [ "\${1:-}" = -i ]; then
  case "\${2-none}" in
  '' | .*) suffix=$2; shift 2; exec REAL "-i$suffix" "$@" ;;
  *) refuse -i ;;
  esac
fi
`;

/**
 * macOS' `ps -E …` shows the environment as well; procps has that as a BSD option without a dash. macOS' `comm` is the path
 * of the executable; procps' is the name of the main thread (Node's is "MainThread"), and its `exe` the path.
 */
const macPs = `if [ "\${1:-}" = -E ]; then
  shift
  exec REAL e "$@"
fi
before=
for argument do
  shift
  case "$before:$argument" in
    -*o:*) argument=$(printf %s "$argument" | sed -E 's/(^|,)comm(=|,|$)/\\1exe\\2/g') ;;
  esac
  before=$argument
  set -- "$@" "$argument"
done
`;
/** macOS' `chmod -N` removes access control lists, which this machine's file system has none of. */
const withoutLists = `if [ "\${1:-}" = -N ]; then
  shift
  for file do
    [ -e "$file" ] || { echo "chmod: $file: No such file or directory" >&2; exit 1; }
  done
  exit 0
fi
`;
const before: Record<string, string> = { chmod: withoutLists, ps: macPs, sed: sedInPlace };

function wrapper(name: string, real: string, { refused, isOrdered }: Tool): string {
  const late = isOrdered ? '    -?*) [ -z "$operand" ] || refuse "$argument" ;;\n' : "";
  return `#!/bin/sh
refuse() {
  printf '%s: illegal option -- %s (it is GNU'"'"'s: macOS has BSD'"'"'s ${name})\\n' ${name} "$1" >&2
  exit 64
}
operand=
${(before[name] ?? "").replace("REAL", real)}for argument do
  case "$argument" in
    --) break ;;
    ${refused.join(" | ")}) refuse "$argument" ;;
${late}    *) operand=1 ;;
  esac
done
exec ${real} "$@"
`;
}

/** Writes the wrappers into `bin`, the first folder of the Mac's PATH. Does nothing on macOS, whose tools are BSD's. */
export function writeBsdTools(bin: string, platform: NodeJS.Platform = process.platform): void {
  if (platform === "darwin") return;
  const write = (name: string, text: string): void => {
    writeFileSync(join(bin, name), text);
    chmodSync(join(bin, name), 0o755);
  };
  for (const [name, tool] of Object.entries(tools)) {
    const real = ["/bin", "/usr/bin"].map((folder) => join(folder, name)).find((path) => existsSync(path));
    if (real !== undefined) write(name, wrapper(name, real, tool));
  }
  for (const name of absent) write(name, `#!/bin/sh\necho "${name}: command not found" >&2\nexit 127\n`);
}
