import { describe, expect, it } from 'vitest'
import { plainCommand } from '../../../src/prove/plain-command.ts'
import { parseShell } from '../../../src/prove/shell-commands.ts'
import { waysOut } from '../../../src/prove/ways-out.ts'

function goingOut(script: string, inCluster = false): readonly string[] {
  const { commands } = parseShell(script)
  return commands.flatMap(command => {
    const plain = plainCommand(command)
    const found = plain === undefined ? [] : waysOut(plain, { inCluster, has: path => path === 'charts/web' })
    return found.map(({ kind, what }) => `${plain!.line} ${kind} ${what}`)
  })
}

describe('what goes out', () => {
  it.each<[script: string, ...found: string[]]>([
    ['curl -sfL https://get.k3s.io | sh -', '1 network https://get.k3s.io'],
    ['curl -o out.tgz example.com/a.tgz', '1 network example.com/a.tgz'],
    ['\n\nwget "https://a.example/x" \\\n  -O /tmp/x', '3 network https://a.example/x'],
    ['sudo -E env A=b timeout 10 curl https://a.example', '1 network https://a.example'],
    ['if ! command -v jq; then apt-get -y install jq; fi', '1 network apt-get install jq'],
    ['apt-get update && echo', '1 network apt-get update'],
    ['x=$(curl -s "https://a.example/v")', '1 network https://a.example/v'],
    ['echo `wget -qO- http://b.example`', '1 network http://b.example'],
    ['URL=https://a.example\ncurl "$URL/file"', '2 network https://a.example/file'],
    ['curl ${URL:-https://a.example}', '1 network https://a.example'],
    ['if a; then U=https://a.b; else U=https://c.d; fi; curl $U', '1 network https://a.b', '1 network https://c.d'],
    ['for u in https://a.b https://c.d; do\n wget $u\ndone', '2 network https://a.b', '2 network https://c.d'],
    ['get() { curl -L "$@"; }', '1 unknown curl $@'],
    [
      'cat <<EOF\n$(curl https://a.b)\ncurl https://not.one\nEOF\ngit clone https://c.d',
      '2 network https://a.b',
      '5 network https://c.d',
    ],
    ["cat <<'EOF'\n$(curl https://a.b)\nEOF"],
    ['git clone git@github.com:a/b.git', '1 network git@github.com:a/b.git'],
    ['git -C /x pull', '1 network git pull'],
    ['dnf install -y podman', '1 network dnf install podman'],
    ['apk add --no-cache curl', '1 network apk add curl'],
    ['pip3 install flask', '1 network pip3 install flask'],
    ['helm repo add x https://charts.example', '1 network https://charts.example'],
    ['curl https://me:secret@a.b/x', '1 network https://a.b/x'],
    ['curl "https://a.b/x?token=abc"', '1 network https://a.b/x?token=redacted'],
    ['git clone https://me:secret@a.b/x.git', '1 network https://a.b/x.git'],
    ['docker login -u me --password secret registry.local', '1 network docker login registry.local'],
    ['helm repo update', '1 network helm repo update'],
    ['helm install web bitnami/nginx', '1 network bitnami/nginx'],
    ['helm upgrade --install web oci://r.example/web', '1 network oci://r.example/web'],
    ['helm install web nginx --repo https://charts.example', '1 network https://charts.example'],
    ['kubectl apply -f https://a.example/x.yaml', '1 network https://a.example/x.yaml'],
    ['kubectl apply --filename=https://a.example/x.yaml', '1 network https://a.example/x.yaml'],
    ['k3s kubectl run x --image=nginx:1.27', '1 image nginx:1.27'],
    ['kubectl set image deploy/web web=nginx:1.28', '1 image nginx:1.28'],
    ['docker pull nginx', '1 network docker pull nginx'],
    ['k3s crictl pull docker.io/a/b:1', '1 network crictl pull docker.io/a/b:1'],
    ['k3s ctr -n k8s.io images pull docker.io/a/b:1', '1 network ctr images pull docker.io/a/b:1'],
    ['skopeo copy docker://a.example/b:1 dir:x', '1 network docker://a.example/b:1'],
    ['podman run --rm -v /a:/b alpine:3 ls', '1 image alpine:3'],
    ['while true; do (curl https://a.b); done', '1 network https://a.b'],
    ['case $1 in\n  a) curl https://a.b ;;\nesac', '2 network https://a.b'],
    ['curl https://$HOST/x', '1 network https://$HOST/x'],
    ['test -x /y || exec /usr/bin/curl https://a.b', '1 network https://a.b'],
    ['curl "https://a.b" >/dev/null 2>&1 &', '1 network https://a.b'],
  ])('%s', (script, ...found) => {
    expect(goingOut(script)).toEqual(found)
  })
})

describe('what stays inside', () => {
  it.each([
    '# curl https://a.b',
    'echo "see https://a.b" # curl https://c.d',
    'echo curl https://a.b',
    "printf '%s\\n' 'curl https://a.b'",
    'curl -k https://127.0.0.1:6443/ping',
    'curl --unix-socket /run/x http://localhost/info',
    'wget file:///etc/hosts',
    'cat > x.sh <<EOF\ncurl https://a.b\nEOF',
    'cat <<-EOF\n\tcurl https://a.b\n\tEOF\necho',
    'apt-get install -y ./tools.deb $ROOTFS/debs/a.deb',
    'rpm -i /opt/a.rpm',
    'apt-get remove curl',
    'command -v curl wget',
    'git -C /srv log; git clone /srv/a b',
    'helm install web ./charts/web -f values.yaml',
    'helm install web charts/web --namespace prod',
    'helm upgrade --install web charts/web-1.0.tgz',
    'kubectl apply -f manifests/',
    'kubectl get pods -o json',
    'ctr images import images.tar; docker load -i x.tar; crictl images',
    'pip install --no-index --find-links wheels flask',
    'x=$((1 + 2)); ((x++)); [[ $x =~ https?:// ]]',
    'case $1 in curl) : ;; esac',
  ])('%s', script => {
    expect(goingOut(script)).toEqual([])
  })

  it('is for a pod what the cluster serves', () => {
    const script = 'curl http://web; wget http://api.prod.svc:80/x; curl http://$HOST; curl https://a.example'
    expect(goingOut(script, true)).toEqual(['1 network https://a.example'])
  })
})

describe('a hostile script', () => {
  it.each([
    ['values that double', `A=x\n${'A=$A$A\n'.repeat(200)}curl https://a.b/$A`],
    ['defaults in defaults', '${a:-'.repeat(20_000)],
    ['substitutions in substitutions', 'echo $('.repeat(20_000)],
    ['here-documents of substitutions', `cat <<E\n${'$(a '.repeat(20_000)}\nE\n`],
    ['parentheses', '('.repeat(100_000)],
    ['open quotes', `echo "'${'`'.repeat(9999)}`],
  ])('is read in time: %s', (_, script) => {
    const before = performance.now()
    parseShell(script)
    expect(performance.now() - before).toBeLessThan(20_000)
  })
})
