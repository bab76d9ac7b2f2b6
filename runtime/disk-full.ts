/** What is said when the Mac's disk is full: by the installer, and by the shell that unpacks it, where no Node runs yet. */

/**
 * @param volume where it is mounted, on the Mac
 * @param free how much is left, with its unit
 * @returns one line, without characters that a shell expands within double quotes
 */
export const diskFullText = (volume: string, free: string): string =>
  `the Mac's disk is full: the volume ${volume} has ${free} free. Delete files there (models are large: ollama list, ollama rm <model>), then run pulumi up again`;

/** What the system's programs print; the same on macOS and Linux but for a letter. */
export const diskFullPattern = /no space left on device|dis[ck] quota exceeded/i;

/**
 * POSIX shell: `fits FOLDER COMMAND …` runs a command that writes in this folder, and ends the script with the words above if
 * it fails because the disk is full. Not all programs print the reason (curl, cut), so a volume with less than 1 MiB counts as
 * full too.
 */
export const fitsShell = `fits() {
  at=$1
  shift
  { said=$("$@" 2>&1 >&3) && code=0 || code=$?; } 3>&1
  if [ "$code" = 0 ]; then
    [ -z "$said" ] || echo "$said" >&2
    return 0
  fi
  space=$(df -Pk "$at" 2>/dev/null | sed -n '2s/^.* \\([0-9][0-9]*\\)  *[0-9]*%  *\\(\\/.*\\)$/\\1 \\2/p')
  space=\${space:-1024 of $at}
  free=\${space%% *} volume=\${space#* }
  case $said in
    *"o space left on device"* | *"quota exceeded"*) full=1 ;;
    *) full=$([ "$free" -ge 1024 ] || echo 1) ;;
  esac
  if [ -n "$full" ]; then
    echo "${diskFullText("$volume", "$((free / 1024)) MiB")}. What is in service was not changed." >&2
    exit 1
  fi
  echo "\${said:-$* failed (exit code $code)}" >&2
  return "$code"
}`;
