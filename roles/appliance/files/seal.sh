#!/bin/sh
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes an image of the machine that it runs on: what is of this machine, of its builder or of a former run goes.
# Usage: seal.sh UNIT ...: the units that stay enabled.
# Prints a line for each thing removed. What a running machine writes again at once, such as its journal, is emptied
# without a word.

set -eu
export LC_ALL=C

removed() {
    for path; do
        if [ -e "$path" ] || [ -L "$path" ]; then
            rm -rf -- "$path"
            echo "removed $path"
        fi
    done
}

# Everything inside a folder, not the folder.
emptied() {
    for folder; do
        [ -d "$folder" ] || continue
        found=$(find "$folder" -mindepth 1 -maxdepth 1 -print -quit)
        if [ -n "$found" ]; then
            find "$folder" -xdev -mindepth 1 -delete
            echo "removed what was in $folder"
        fi
    done
}

# Arguments: the units that stay enabled.
services() {
    for file in /etc/systemd/system/flower-*.service; do
        unit=${file##*/}
        case $unit in
            flower-*@.service) continue ;;
        esac
        # The agent starts them, when it knows which VM this is.
        if [ -d /run/systemd/system ] && systemctl --quiet is-active "$unit"; then
            systemctl stop "$unit"
            echo "removed the running $unit"
        fi
        case " $* " in
            *" $unit "*) ;;
            *) removed /etc/systemd/system/*.wants/"$unit" ;;
        esac
    done
}

flower() {
    emptied /etc/flower-ops
    for path in /opt/flower/* /opt/flower/.[!.]* /opt/flower/frameworks/.[!.]*; do
        case $path in
            /opt/flower/appliance.json | /opt/flower/frameworks | /opt/flower/use-cases | /opt/flower/venv | /opt/flower/venvs) ;;
            *)
                if [ -d "$path" ] && [ ! -L "$path" ]; then emptied "$path"; else removed "$path"; fi
                ;;
        esac
    done
    # Environments that were in use before.
    for environment in /opt/flower/venvs/*; do
        [ -n "$(find /opt/flower/venv /opt/flower/frameworks -maxdepth 1 -type l -lname "$environment")" ] ||
            removed "$environment"
    done
}

passwords() {
    while IFS=: read -r user hash rest; do
        case $hash in
            '' | *'$'*)
                usermod --password '*' "$user"
                echo "removed the password of $user"
                ;;
        esac
    done </etc/shadow
    removed /etc/shadow- /etc/gshadow- /etc/passwd- /etc/group- /etc/subuid- /etc/subgid-
}

people() {
    cut -d : -f 6 /etc/passwd | sort -u | while IFS= read -r home; do
        case $home in
            /root | /home/*)
                # This file lies in one of them while it runs: no news.
                rm -rf -- "$home/.ansible"
                removed "$home"/.ssh "$home"/.cache "$home"/.config/pip "$home"/.pip "$home"/.netrc "$home"/.wget-hsts \
                    "$home"/.bash_history "$home"/.python_history "$home"/.lesshst "$home"/.viminfo
                ;;
        esac
    done
}

identity() {
    if [ -s /etc/machine-id ]; then
        # Empty, not missing: the first boot makes a new one, and presets enable nothing.
        : >/etc/machine-id
        echo "removed the machine id"
    fi
    removed /var/lib/dbus/machine-id /etc/ssh/ssh_host_*
    rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
    emptied /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem /var/lib/dhcp
    removed /var/lib/cloud/instance
}

caches() {
    emptied /var/lib/apt/lists /var/cache/apt/archives
    rm -f /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old
    find /tmp /var/tmp -xdev -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' -exec rm -rf -- {} +
    find /var/log -xdev -type f \( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' -o -path '*/journal/*' \) -delete
    find /var/log -xdev -type f -size +0 -exec truncate --size 0 -- {} +
}

services "$@"
flower
passwords
people
identity
caches
sync
