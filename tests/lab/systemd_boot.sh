#!/bin/sh
# Process 1 of a test machine, in namespaces of its own: builds its root and becomes systemd.
# Usage: systemd_boot.sh ROOT DISK SHARE NAME BOOT_ID KEEP... DISK (etc, var) is what outlives a reboot;
# KEEP are folders that must be there although they lie in one that is the machine's own (a checkout in /tmp).
set -eu
root=$1 disk=$2 share=$3 name=$4 boot_id=$5
shift 5

mount --make-rprivate /
mount -t tmpfs -o mode=755,size=16m tmpfs "$root"
for entry in /*; do
    target=$root/${entry#/}
    case $entry in
    /dev | /etc | /lost+found | /mnt | /media | /proc | /run | /sys | /tmp | /var) ;;
    *)
        if [ -L "$entry" ]; then
            cp -P "$entry" "$target"
        elif [ -d "$entry" ]; then
            mkdir "$target"
            mount --rbind "$entry" "$target"
            mount -o remount,bind,ro "$target"
        fi
        ;;
    esac
done
cd "$root"
mkdir dev etc mnt proc run sys tmp var

for part in etc var; do
    mkdir -p "$disk/$part"
    mount --bind "$disk/$part" "$part"
done
mount --bind "$share" mnt
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
for folder in "$@"; do
    [ -e ".$folder" ] || { mkdir -p ".$folder" && mount --rbind "$folder" ".$folder"; }
done

# The kernel is everybody's: its settings can be read here, only those of this network be written.
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
[ ! -e proc/sysrq-trigger ] || mount --bind /dev/null proc/sysrq-trigger
echo "$boot_id" >run/boot_id
mount --bind run/boot_id proc/sys/kernel/random/boot_id
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup

mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx

mkdir run/host
pivot_root . run/host
umount -l /run/host
ip link set lo up
# Last: it tells the test that the machine is there.
hostname "$name"
exec env -i container=hsorch-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio /lib/systemd/systemd --system </dev/null
