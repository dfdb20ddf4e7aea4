#!/bin/bash
# Runs inside the guest as its first process: modules, the tests, the exit code, power off.
mode=$1 target=$2 modules=${3-}
# Joined by plus signs, for the kernel's command line has blanks between its words.
IFS=+ read -ra arguments <<<"${4-}"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

# The kernel would panic if this process ended, so every way out is this one.
leave() {
    echo "skybridge-vm-exit $1"
    sync
    echo o >/proc/sysrq-trigger
    # No program: the file system that they come from may go first.
    while :; do :; done
}
trap 'leave $?' EXIT

set -eu
mkdir -p /dev/pts /run/netns
mount -t devpts devpts /dev/pts
ip link set lo up
# The kernel looks for modules by itself, and only there.
[[ -z $modules || -e /lib/modules/$(uname -r) ]] || ln -s "$modules" "/lib/modules/$(uname -r)"
for module in wireguard tun veth ip_gre ip6_gre 8021q xfrm_interface xfrm_user af_key esp4 esp6 \
    authenc cbc gcm sha256_generic hmac nft_chain_nat nft_masq sch_prio sch_netem; do
    [[ -z $modules ]] || modprobe "$module" || echo "vm: no module $module"
done

# The kernel loads a cipher with its first use, for which an emulated processor may need longer than IKE waits for an
# answer: who calls gives up and calls again, until who is called has enough of half a call.
load_ciphers() {
    local key=0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f salt=20212223
    local state=(ip xfrm state add src 127.0.0.2 dst 127.0.0.3 proto esp)
    "${state[@]}" spi 0x101 mode tunnel aead 'rfc4106(gcm(aes))' "$key$salt" 128 || echo "vm: no AES-GCM"
    "${state[@]}" spi 0x102 mode tunnel enc 'cbc(aes)' "$key" auth-trunc 'hmac(sha256)' "$key" 128 || echo "vm: no AES-CBC"
    ip xfrm state flush || true
}

# The newest test binary of that name.
binary() {
    find "$target/debug/deps" -maxdepth 1 -name "$1-*" -perm /111 -type f -printf '%T@ %p\n' |
        sort -rn | head -n 1 | cut -d ' ' -f 2
}

# What the tests rest on, said in the kernel's own words first.
foundation() {
    ip link add wg-probe type wireguard
    ip -d link show wg-probe | grep -q wireguard
    ip link del wg-probe
    ip link add xfrm-probe type xfrm if_id 1
    ip link del xfrm-probe
    ip netns add probe
    ip netns del probe
    echo "vm: $(uname -r) has WireGuard, XFRM interfaces and namespaces"
}

[[ $mode == foundation || $mode == tcp-ao ]] || load_ciphers
case $mode in
    shell) setsid -c bash -i </dev/ttyS0 >/dev/ttyS0 2>&1 || true ;;
    foundation) foundation ;;
    tcp-ao) "$(binary tcp_ao)" --test-threads 1 --nocapture ;;
    bench) "$target/bench_tunnels" --emulated "${arguments[@]}" ;;
    test)
        if ((${#arguments[@]})); then
            "$(binary "${arguments[0]}")" --test-threads 1 --nocapture "${arguments[@]:1}"
            exit
        fi
        foundation
        kernel=$(binary kernel)
        [[ -n $kernel ]] || { echo "vm: no test binary of tunnels/tests/kernel.rs"; exit 1; }
        # Both, whatever becomes of the first: a run is too slow to see one failure at a time.
        failed=0
        "$kernel" --test-threads 1 --include-ignored || failed=1
        SKYBRIDGE_LAB_WIREGUARD=kernel "$(binary netns)" --test-threads 1 --nocapture \
            traffic_moves_to_the_other_internet_and_back || failed=1
        # What has 1300 in its name needs this kernel, or finds another WireGuard in it; the other paths that take less
        # are tried where every test runs.
        "$(binary path_mtu)" --test-threads 1 --nocapture 1300 || failed=1
        for test in delays carriers ipsec ipsec_links source_addresses; do
            "$(binary "$test")" --test-threads 1 --nocapture || failed=1
        done
        exit $failed
        ;;
    *) echo "vm: no such mode: $mode"; exit 2 ;;
esac
