import type { ActionJudge } from '../action.ts'

/** A machine that is new, or was imaged anew, under a node's name: k3s would refuse its password for ever (facts/k3s-observed.md 17). */
export const judgeNames: ActionJudge = ({ nodes, members, forgotten }) =>
  nodes
    .filter(({ facts, name }) => facts.cloudimg.node === undefined && members.some(member => member.name === name))
    .filter(({ name }) => !forgotten.some(member => member.name === name))
    .map(({ host, name }) => ({
      id: 'name-taken',
      host,
      severity: 'error',
      message: `the cluster has a node "${name}" already, and this machine is not it`,
      fix: `if it was imaged anew: cloudimg replace IMAGE ${host}; else give it another name: hostnamectl set-hostname NAME`,
    }))
