import { runCluster } from '../../src/deploy/actions/run.ts'
import { directoryImage } from './directory-image.ts'

/** The program that a lab host runs on itself: `run` without hosts, of the image in a directory. Prints the result. */
const [directory = '', stateHome = '', allowStandIn = ''] = process.argv.slice(2)
const image = await directoryImage(directory)
const ctx = { signal: new AbortController().signal, events: () => undefined }
const wishes = { allowStandIn: allowStandIn === 'true' }
console.log(JSON.stringify(await runCluster({ image, stateHome, wishes }, ctx)))
