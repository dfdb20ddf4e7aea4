#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the guest: the host's root, read-only, under a scratch overlay.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do
    /bin/busybox insmod "$module" || echo "vm: $module does not load"
done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /host
/bin/busybox mount -t tmpfs tmpfs /top
/bin/busybox mkdir -p /top/upper /top/work
/bin/busybox mount -t overlay -o lowerdir=/host,upperdir=/top/upper,workdir=/top/work overlay /root
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in
        skybridge.mode=*) mode=${word#*=} ;;
        skybridge.guest=*) guest=${word#*=} ;;
        skybridge.target=*) target=${word#*=} ;;
        skybridge.arguments=*) arguments=${word#*=} ;;
    esac
done
/bin/busybox mount -t proc proc /root/proc
/bin/busybox mount -t sysfs sysfs /root/sys
/bin/busybox mount -t devtmpfs dev /root/dev
/bin/busybox mount -t tmpfs tmpfs /root/run
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /bin/bash "$guest" "$mode" "$target" "$arguments"
