# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154  # root is the caller's
#
# What goes into a package: the files of the tree as they are now, committed or not, without what git ignores; and the one
# moment in time that all of them are said to be of, so that the same files make the same packages. To be sourced, with
# $root being the tree.

# In a clone that git reads: not without git, and not for root where it is another user's.
source_is_clone() {
    [[ -e $root/.git ]] && git -C "$root" rev-parse --quiet --verify HEAD >/dev/null 2>&1
}

# source_files: the paths of all files, relative to the tree, each followed by a NUL.
source_files() {
    if source_is_clone; then
        # A file that was removed and not yet committed is still listed.
        git -C "$root" ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
            [[ ! -e $root/$file && ! -L $root/$file ]] || printf '%s\0' "$file"
        done
    else
        (cd "$root" && find . \( -path './build*' -o -name .git -o -name __pycache__ -o -name .pytest_cache \) -prune -o \
            \( -type f -o -type l \) -printf '%P\0')
    fi
}

# source_copy FOLDER: copies them there.
source_copy() {
    mkdir -p "$1"
    source_files | tar -C "$root" --null --files-from=- --create --file=- | tar -C "$1" --extract --file=- --no-same-owner
}

# source_is_changed: the clone has something that is in no commit.
source_is_changed() {
    [[ -n $(git -C "$root" status --porcelain) ]]
}

# source_is_release: these are the files of a release: a tarball, or a commit with the tag of the version.
source_is_release() {
    [[ -e $root/.git ]] || return 0
    source_is_clone && ! source_is_changed && git -C "$root" tag --points-at HEAD | grep -qxF "v$(source_version)"
}

# source_epoch: seconds since 1970; $SOURCE_DATE_EPOCH where it is set. Of the commit; of the newest file where something is in
# no commit, or where there are none.
source_epoch() {
    if [[ -n ${SOURCE_DATE_EPOCH-} ]]; then
        echo "$SOURCE_DATE_EPOCH"
    elif source_is_clone && ! source_is_changed; then
        git -C "$root" log -1 --format=%ct
    else
        source_files | (cd "$root" && xargs -0 stat -c %Y --) | sort -n | tail -n 1
    fi
}

# source_version: as meson.build has it.
source_version() {
    sed -n "s/^  version: '\([^']*\)',$/\1/p" "$root/meson.build"
}

# source_package_version: the same for a release. Between releases with the moment behind a tilde: newer than what was built
# before it, older than the release.
source_package_version() {
    if source_is_release; then
        source_version
    else
        echo "$(source_version)~git$(date --utc --date="@$(source_epoch)" +%Y%m%d%H%M%S)"
    fi
}
