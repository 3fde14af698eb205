#!/bin/sh
# A shim of upstream's install script with its order of writes: the unit goes, then environment, unit and links come. REVISION
set -e
env | sort >/shim/install-environment
echo "install.sh $INSTALL_K3S_EXEC" >>/shim/calls
[ -x "$INSTALL_K3S_BIN_DIR/k3s" ]
[ "$INSTALL_K3S_SKIP_DOWNLOAD $INSTALL_K3S_SKIP_START" = 'true true' ]
name=k3s
[ "$INSTALL_K3S_EXEC" = server ] || name=k3s-$INSTALL_K3S_EXEC
unit=/etc/systemd/system/$name.service
for link in kubectl crictl ctr; do [ -e /usr/local/bin/$link ] || ln -s k3s /usr/local/bin/$link; done
. /shim/point
uninstall=/usr/local/bin/$name-uninstall.sh
cat >$uninstall <<TEXT
#!/bin/sh
echo "$name-uninstall.sh" >>/shim/calls
systemctl disable $name.service
rm -f $unit $unit.env
. /shim/point
rm -f /usr/local/bin/kubectl /usr/local/bin/crictl /usr/local/bin/ctr
rm -rf /etc/rancher/k3s /run/k3s
. /shim/point
rm -rf /var/lib/rancher/k3s /var/lib/kubelet
. /shim/point
rm -f /usr/local/bin/k3s
rm -f $uninstall
TEXT
chmod 755 $uninstall
. /shim/point
systemctl disable $name.service
rm -f $unit $unit.env
. /shim/point
(umask 077 && : >$unit.env)
. /shim/point
cat >$unit <<TEXT
[Service]
Type=notify
# revision REVISION
ExecStart=/usr/local/bin/k3s $INSTALL_K3S_EXEC
TEXT
. /shim/point
systemctl enable $name.service
systemctl daemon-reload
