"""The hands of vmd: libvirt, the files of a boot, the trial of /dev/kvm."""
