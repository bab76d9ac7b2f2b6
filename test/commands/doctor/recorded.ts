/** What commands printed on real Macs, as people published it; where, is said at each. Names and serial numbers are left out. */

/** `pmset -g custom` of a Mac mini, macOS 26.5. */
export const pmsetMini = `AC Power:
 Sleep On Power Button 1
 autorestartatconnect 0
 lowpowermode         0
 standby              0
 ttyskeepawake        1
 powernap             1
 displaysleep         0
 womp                 1
 networkoversleep     0
 sleep                0
 tcpkeepalive         1
 autorestart          1
 disksleep            10
`;

/** `pmset -g custom` of an Intel iMac as found: sleeps, and stays off. */
export const pmsetImac = `AC Power:
 Sleep On Power Button 1
 standbydelayhigh     86400
 standbydelaylow      86400
 proximitywake        1
 standby              1
 ttyskeepawake        1
 hibernatemode        3
 powernap             1
 gpuswitch            2
 hibernatefile        /var/vm/sleepimage
 highstandbythreshold 50
 displaysleep         0
 womp                 1
 networkoversleep     0
 sleep                15
 tcpkeepalive         1
 halfdim              1
 autorestart          0
 disksleep            10
`;

/** `pmset -g`, where a value may have a note behind it. */
export const pmsetLive = `System-wide power settings:
Currently in use:
 standby              1
 autorestart          0
 sleep                15 (sleep prevented by caffeinate, coreaudiod)
 disksleep            10
`;

/** `last reboot shutdown` of a Mac Studio with three starts that nothing had announced. */
export const lastStudio = `reboot time                                Mon Aug 24 08:17
reboot time                                Mon Aug 24 07:40
reboot time                                Sun Aug 23 21:35
reboot time                                Thu Aug 13 11:14
shutdown time                              Thu Aug 13 11:13
reboot time                                Sat Aug  8 15:09
reboot time                                Thu Aug  6 01:00

wtmp begins Tue Jan 13 11:49:32 EST 2026
`;

/** `system_profiler SPDisplaysDataType` of a MacBook Pro with an M2 Pro. */
export const displaysM2 = `Graphics/Displays:

    Apple M2 Pro:

      Chipset Model: Apple M2 Pro
      Type: GPU
      Bus: Built-In
      Total Number of Cores: 16
      Vendor: Apple (0x106b)
      Metal Support: Metal 3
      Displays:
        Color LCD:
          Display Type: Built-in Liquid Retina XDR Display
          Resolution: 3024 x 1964 Retina
          Main Display: Yes
          Mirror: Off
          Online: Yes
`;

/** `sw_vers` of macOS 14. */
export const swVers = "ProductName:\t\tmacOS\nProductVersion:\t\t14.2.1\nBuildVersion:\t\t23C71\n";

/** `defaults read /Library/Preferences/com.apple.SoftwareUpdate` of macOS 15, shortened. */
export const softwareUpdate = `{
    AutomaticCheckEnabled = 1;
    AutomaticDownload = 1;
    AutomaticallyInstallMacOSUpdates = 1;
    CriticalUpdateInstall = 1;
    FirstInstallTonightDateDictionary =     {
        "MSU_UPDATE_24G325_patch_15.7.2_minor" = "2025-12-01 20:19:07 +0000";
    };
}
`;

/** `df -Pk /private/var/db` of an M-series Mac. */
export const df = `Filesystem   1024-blocks      Used Available Capacity  Mounted on
/dev/disk3s5   971350180 512345678 437412032    54%    /System/Volumes/Data
`;

/** cloudflared's own metrics, 2026.9; a place that was left has 0. */
export const places = `cloudflared_tunnel_server_locations{connection_id="1",edge_location="prg01"} 1
cloudflared_tunnel_server_locations{connection_id="0",edge_location="fra08"} 1
cloudflared_tunnel_server_locations{connection_id="0",edge_location="ams01"} 0
`;

/** `launchctl list` as root, some lines of it. */
export const launchctlList = `PID\tStatus\tLabel
-\t0\tcom.apple.relatived
412\t0\tcom.openssh.sshd
501\t0\tlocal.slm-network.relay
733\t0\tlocal.slm-network.model
-\t78\tcom.example.broken
`;
