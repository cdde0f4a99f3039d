import path from 'node:path';
import { SlimGoError } from '../errors';

/** A published port. */
export interface PortMapping {
  /** Address of the host to listen on; empty means all. */
  readonly hostIp: string;
  /** Undefined: the engine chooses a free one. */
  readonly hostPort: number | undefined;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

/**
 * Reads one published port as `docker run --publish` does: `80`, `8080:80`, `127.0.0.1:8080:80/udp`, `127.0.0.1::80`,
 * `[::1]:8080:80`. Ranges are refused.
 * @throws OPTION_INVALID
 * https://docs.docker.com/reference/cli/docker/container/run/#publish
 */
export function parsePort(text: string): PortMapping {
  const invalid = (why: string): SlimGoError =>
    new SlimGoError('OPTION_INVALID', `"${text}" is no published port: ${why}.`, {
      hint: 'Write host:container, for example 8080:80, 127.0.0.1:8080:80 or 5353:53/udp.',
    });
  const [, address = '', rawProtocol = 'tcp'] = /^(.*?)(?:\/([^/]*))?$/s.exec(text.trim()) ?? [];
  const protocol = rawProtocol.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') {
    throw invalid(`the protocol "${rawProtocol}" is none of tcp, udp and sctp`);
  }
  const [, hostIp = '', host = '', container = ''] =
    /^(?:(?:(\[[^\]]*\]|[^:]*):)?([^:]*):)?([^:]*)$/.exec(address) ?? [];
  if (container === '') throw invalid('it names no port of the container');
  const port = (value: string): number => {
    if (/^\d+-\d+$/.test(value)) throw invalid('ranges are not supported, list each port');
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < 1 || number > 65535) throw invalid(`"${value}" is not between 1 and 65535`);
    return number;
  };
  return {
    hostIp: hostIp.replace(/^\[|\]$/g, ''),
    // docker run's `0` asks for any free port, as an empty one does.
    hostPort: host === '' || host === '0' ? undefined : port(host),
    containerPort: port(container),
    protocol,
  };
}

/**
 * Reads one volume as `docker run --volume` does, into the form that the engine takes: `./data:/data:ro`, `cache:/var/cache`,
 * `/data` (anonymous), `C:\data:/data`. A source that starts with `.` or `~/`... is a path relative to `folder`; one that
 * is neither absolute nor starts with a dot is the name of a volume.
 * @throws OPTION_INVALID
 * https://docs.docker.com/reference/cli/docker/container/run/#volume
 */
export function parseVolume(text: string, folder: string): string {
  const invalid = (why: string): SlimGoError =>
    new SlimGoError('OPTION_INVALID', `"${text}" is no volume: ${why}.`, {
      hint: 'Write source:/path/in/container, for example ./data:/data, ./data:/data:ro or cache:/var/cache.',
    });
  // A drive letter's colon separates nothing.
  const [, source, target = '', mode] =
    /^(?:([A-Za-z]:[\\/][^:]*|[^:]*):)?([^:]*?)(?::([^:/]+))?$/s.exec(text.trim()) ?? [];
  if (!path.posix.isAbsolute(target)) throw invalid('the path in the container has to start with /');
  if (source === undefined) return target;
  if (source === '') throw invalid('it names no source');
  if (source.startsWith('~')) throw invalid('only a shell knows ~, write the folder');
  const isPath = /^\.\.?(?:$|[\\/])/.test(source) || path.isAbsolute(source) || path.win32.parse(source).root !== '';
  if (!isPath && !/^[A-Za-z0-9][A-Za-z0-9_.-]+$/.test(source)) {
    throw invalid(`"${source}" is no name of a volume, and a folder is written ./${source}`);
  }
  const resolved = /^\.\.?(?:$|[\\/])/.test(source) ? path.resolve(folder, source) : source;
  return [resolved, target, ...(mode === undefined ? [] : [mode])].join(':');
}

const memoryUnits: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/**
 * Bytes of an amount such as `64m`, `1.5g` or `6291456`, with Docker's binary units.
 * @throws OPTION_INVALID
 */
export function parseMemory(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?) ?(?:([bkmgt]?)i?b?)$/i.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(number) * (memoryUnits[unit.toLowerCase()] ?? Number.NaN));
  // The kernel's cgroups and the Go runtime need that much to start at all; the engine refuses less, in other words.
  if (bytes >= 6 * 2 ** 20) return bytes;
  throw new SlimGoError('OPTION_INVALID', `"${text}" is no memory limit.`, {
    hint: 'Write an amount of at least 6m, for example 64m or 1.5g.',
  });
}

/**
 * Billionths of a processor (the engine's NanoCpus) for `1.5` processors.
 * @throws OPTION_INVALID
 */
export function parseCpus(value: string | number): number {
  const text = String(value).trim();
  const nano = Math.round(Number(text) * 1e9);
  if (/^\d*\.?\d+$/.test(text) && nano > 0) return nano;
  throw new SlimGoError('OPTION_INVALID', `"${value}" is no number of processors.`, {
    hint: 'Write a number above 0, for example 0.5 or 2.',
  });
}
