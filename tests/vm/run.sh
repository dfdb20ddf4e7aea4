#!/usr/bin/env bash
# Boots Debian's kernel under qemu's emulator, with the host's root as its own, and runs the tests
# that need a kernel with WireGuard. Nothing of the host is written to: see guest.sh.
#
#   run.sh test|tcp-ao|foundation|shell TARGET_DIRECTORY
#   run.sh test TARGET_DIRECTORY BINARY [PART OF A TEST'S NAME]
#   run.sh bench DIRECTORY_OF_PROGRAMS [ARGUMENTS OF bench_tunnels]
#
# SKYBRIDGE_VM_KERNEL=FILE boots another kernel: with the modules that lie beside it, where Debian's packages
# put it (…/lib/modules/VERSION/vmlinuz, unpacked anywhere), or with all that is needed built in.
set -euo pipefail
readonly MODE=$1 TARGET=$2
ARGUMENTS=$(IFS=+; echo "${*:3}")
readonly ARGUMENTS
HERE=$(dirname "$(readlink -f "$0")")
readonly HERE
# What the guest needs before it sees the host's files, and what the tests need from inside.
readonly BOOT_MODULES=(virtio_pci 9p 9pnet_virtio overlay)

kernel=${SKYBRIDGE_VM_KERNEL-}
if [[ -n $kernel ]]; then
    [[ -e $kernel ]] || { echo "vm: there is no $kernel" >&2; exit 1; }
    kernel=$(readlink -f "$kernel")
    modules=${kernel%/*}
    version=${modules##*/}
    if [[ $modules != */lib/modules/* ]]; then
        modules=
        version=$kernel
    fi
else
    kernel=$(printf '%s\n' /boot/vmlinuz-*-amd64 | grep -v cloud | sort -V | tail -n 1)
    [[ -e $kernel ]] || { echo "vm: no kernel in /boot; ./dev setup installs one" >&2; exit 1; }
    version=${kernel#/boot/vmlinuz-}
    modules=/lib/modules/$version
fi

work=$(mktemp -d /tmp/skybridge-vm.XXXXXX)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/initramfs"/{bin,modules,proc,sys,dev,host,top,root}
cp "$(command -v busybox)" "$work/initramfs/bin/busybox"
# modprobe names each module after those it needs, so numbering keeps the order.
if [[ -n $modules ]]; then
    [[ -e $modules/modules.dep ]] || depmod -b "${modules%/lib/modules/*}/" "$version"
    number=100
    modprobe --dirname "${modules%/lib/modules/*}/" --show-depends --set-version "$version" \
        --all "${BOOT_MODULES[@]}" |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
        while read -r module; do
            number=$((number + 1))
            file="$work/initramfs/modules/$number-$(basename "$module" .xz)"
            case $module in
                *.xz) xz -dc "$module" >"$file" ;;
                *) cp "$module" "$file" ;;
            esac
        done
fi
cp "$HERE/init.sh" "$work/initramfs/init"
chmod 755 "$work/initramfs/init"
(cd "$work/initramfs" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initramfs.gz"

log="$work/console"
# An emulated processor on a busy machine takes its time, which the kernel would take for a broken timer.
start=$EPOCHREALTIME
# shellcheck disable=SC2054 # the commas are qemu's
qemu=(qemu-system-x86_64 -accel tcg,thread=multi -M q35 -cpu max -smp 2 -m 2048 -nic none
    -kernel "$kernel" -initrd "$work/initramfs.gz" -nographic -no-reboot
    -append "console=ttyS0 quiet panic=-1 no_timer_check skybridge.mode=$MODE skybridge.guest=$HERE/guest.sh skybridge.target=$TARGET skybridge.modules=$modules skybridge.arguments=$ARGUMENTS"
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap)
if [[ $MODE == shell ]]; then
    "${qemu[@]}"
    exit
fi
# A guest that hangs is ended: the longest run took a fraction of this.
timeout --foreground 1800 "${qemu[@]}" </dev/null | stdbuf -oL tr -d '\r' | tee "$log"
now=${EPOCHREALTIME//[.,]/} from=${start//[.,]/}
echo "vm: $(((now - from) / 1000000)) s on $version"
# The guest's own words, for qemu knows nothing about what ran inside.
grep -aq '^skybridge-vm-exit 0' "$log"
