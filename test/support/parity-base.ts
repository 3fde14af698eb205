import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContainerTools } from './engines.ts'

const lines = `FROM scratch
COPY etc /etc
COPY app/conf /usr/share/conf
COPY one /usr/bin/one
COPY --chown=3:4 two /srv/two
ENV A=base PATH=/usr/bin
LABEL level=base
USER 1000:50
WORKDIR /srv
ENTRYPOINT ["/usr/bin/one"]
CMD ["base"]
EXPOSE 80
VOLUME /data
STOPSIGNAL SIGINT
MAINTAINER Base <base@example.com>
`

const tags = { '1': lines, onbuild: `${lines}ONBUILD ENV TRIGGERED=$A\nONBUILD COPY one /onbuild/\n` }

/** The images that `BASE` stands for: made and pushed by buildah, packed with gzip, by another's hand. */
export async function pushParityBase(tools: ContainerTools, registry: string, context: string): Promise<void> {
  const file = join(tools.home, 'Base')
  for (const [tag, text] of Object.entries(tags)) {
    await writeFile(file, text)
    const name = `${registry}/base:${tag}`
    await tools.buildah(['bud', '-q', '--format=docker', '-f', file, '-t', name, context])
    await tools.buildah(['push', '-q', '--tls-verify=false', name])
  }
}

/** `text` with the names of those images in it. */
export function withParityBase(text: string, registry: string): string {
  return text.replaceAll('BASE-onbuild', `${registry}/base:onbuild`).replaceAll('BASE', `${registry}/base:1`)
}
