import path from 'node:path';
import { parseCpus, parseMemory, parsePort, parseVolume } from './container-options';

describe('parsePort', () => {
  const tcp = { hostIp: '', hostPort: undefined, protocol: 'tcp' };
  it.each([
    ['80', { ...tcp, containerPort: 80 }],
    ['8080:80', { ...tcp, hostPort: 8080, containerPort: 80 }],
    ['0:80', { ...tcp, containerPort: 80 }],
    ['127.0.0.1:8080:80/udp', { hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'udp' }],
    ['127.0.0.1::80', { ...tcp, hostIp: '127.0.0.1', containerPort: 80 }],
    ['[::1]:8080:80', { hostIp: '::1', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  ])('reads %s', (text, expected) => expect(parsePort(text)).toEqual(expected));

  it.each(['', '8080:', 'a:80', '8080:80/icmp', '70000:80', '80-81:80-81', '1:2:3:4', '0x50', '1e3:80', ':80:'])(
    'refuses %s',
    (text) => expect(() => parsePort(text)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' })),
  );
});

describe('parseVolume', () => {
  const folder = path.resolve('/work space');
  it.each([
    ['/data', '/data'],
    ['./data:/data:ro', `${path.join(folder, 'data')}:/data:ro`],
    ['..:/up', `${path.dirname(folder)}:/up`],
    ['cache:/var/cache', 'cache:/var/cache'],
    ['/abs:/data:rw,z', '/abs:/data:rw,z'],
    ['C:\\data:/data', 'C:\\data:/data'],
    ['C:/data:/data:ro', 'C:/data:/data:ro'],
  ])('reads %s', (text, expected) => expect(parseVolume(text, folder)).toBe(expected));

  it.each(['', 'data', ':/data', './data:data', 'data/sub:/data', '~/data:/data', './a:/b:ro:x'])(
    'refuses %s',
    (text) => expect(() => parseVolume(text, folder)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' })),
  );
});

describe('parseMemory and parseCpus', () => {
  it.each([
    ['64m', 64 * 1024 * 1024],
    ['1.5g', 1.5 * 1024 ** 3],
    ['8388608', 8388608],
    ['64MB', 64 * 1024 * 1024],
    ['64MiB', 64 * 1024 * 1024],
    ['8192k', 8 * 1024 * 1024],
  ])('reads %s', (text, bytes) => expect(parseMemory(text)).toBe(bytes));

  it.each(['', '64', '-64m', 'lots', '64x', '1e9'])('refuses %s', (text) =>
    expect(() => parseMemory(text)).toThrow(text),
  );

  it('reads parts of processors', () => {
    expect(parseCpus('1.5')).toBe(1_500_000_000);
    expect(parseCpus(0.5)).toBe(500_000_000);
    for (const wrong of ['0', '-1', 'two', '', '1e3']) expect(() => parseCpus(wrong)).toThrow('number of processors');
  });
});
